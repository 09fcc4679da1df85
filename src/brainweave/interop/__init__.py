"""Other people's weights as ours."""

from brainweave.interop.flowlet_import import import_flowlet
from brainweave.interop.models import IMPORTERS, import_model

__all__ = ["IMPORTERS", "import_flowlet", "import_model"]
