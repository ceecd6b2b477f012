"""The networks, by name.

A new network is a file with a class derived from `Network`, and a line that registers it here. Its class says what it
can do.
"""

from model.bicubic import Bicubic
from model.cdsr import CDSR, CDSRSize
from model.dasr import DASR, DASRSize
from model.files import identify, init_model, load_model, open_model, save_model, variant_in
from model.oracle import Oracle
from model.registry import (
    MODELS,
    build_model,
    check_blind,
    compile_model,
    create_model,
    network_of,
    register,
    usual_variant,
)
from model.spandrel import SpandrelModel
from model.unconditional import Unconditional
from model.variant import Variant

CDSR_S_SIZE = CDSRSize(
    num_blocks=2,
    num_residual_blocks=6,
    encoder_widths=(32, 64, 128),
    code_dim=128,
    num_codes=512,
    num_code_layers=2,
)
"""A CDSR of an eighth of the multiply-adds, for CPUs: wide, plain and shallow (docs/log.md has the others tried)."""

CDSR_S_PARTS = Variant(lpe="autocorrelation", csc=False, head=True)
"""Its encoder: what tells a blur soonest and most precisely."""

DASR_S_SIZE = DASRSize(num_features=32, num_groups=6, num_blocks=6)
"""A DASR of CDSR_S's multiply-adds: 0.92, 0.96 and 1.05 of them for x2, x3 and x4, with the published encoder."""

register("CDSR", CDSR)
register("CDSR_S", CDSR, size=CDSR_S_SIZE, variant=CDSR_S_PARTS)
register("CDSR_oracle", Oracle)
register("CDSR_S_oracle", Oracle, size=CDSR_S_SIZE)
register("CDSR_unconditional", Unconditional)
register("CDSR_S_unconditional", Unconditional, size=CDSR_S_SIZE)
register("DASR", DASR)
register("DASR_S", DASR, size=DASR_S_SIZE)
register("bicubic", Bicubic)
register("bicubic_matlab", Bicubic, matlab=True)
register("spandrel", SpandrelModel)
