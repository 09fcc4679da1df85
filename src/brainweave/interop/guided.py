"""Names of the U-Net of guided diffusion, which FlowLet's and cWDM's descend from, as ours."""

import re

_NAMES = (  # theirs, ours; applied in order to every name
    (r"^time_embed\.", "time."),
    (r"^input_blocks\.", "encoder."),
    (r"^middle_block\.", "middle."),
    (r"^output_blocks\.", "decoder."),
    (r"^out\.0\.", "norm."),
    (r"^out\.2\.", "head."),
    (r"\.in_layers\.0\.", ".norm_in."),
    (r"\.in_layers\.2\.", ".conv_in."),
    (r"\.emb_layers\.1\.", ".time_film."),
    (r"\.out_layers\.0\.", ".norm_out."),
    (r"\.out_layers\.3\.", ".conv_out."),
    (r"\.skip_connection\.", ".skip."),
)


def our_name(name: str) -> str:
    """The name in `networks.UNet` of one of its tensors; what is not known stays."""
    for theirs, ours in _NAMES:
        name = re.sub(theirs, ours, name)
    return name
