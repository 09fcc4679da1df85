"""Other people's weights as ours."""

from brainweave.interop.autoencoder_import import import_autoencoder
from brainweave.interop.cwdm_import import import_cwdm, import_fast_cwdm, import_wdm
from brainweave.interop.flowlet_import import import_flowlet
from brainweave.interop.models import IMPORTERS, import_model

__all__ = [
    "IMPORTERS",
    "import_autoencoder",
    "import_cwdm",
    "import_fast_cwdm",
    "import_flowlet",
    "import_model",
    "import_wdm",
]
