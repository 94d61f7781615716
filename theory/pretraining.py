"""The length of pre-training: P1 (gradient descent), T1–T3 (thresholds), the published shape, and a table of origins.

`origins` shows where log k, log L₀, log m, m/d and m²/d come from and `origin_table` prints it; the proofs are in
theory/pretraining.md.
"""

from .gradient_descent import P1_MOVEMENT as P1_MOVEMENT
from .gradient_descent import P1_RATE as P1_RATE
from .gradient_descent import P1_STEP_SIZE as P1_STEP_SIZE
from .gradient_descent import P1_WIDTH as P1_WIDTH
from .logarithms import Origin as Origin
from .logarithms import origin_table as origin_table
from .logarithms import origins as origins
from .thresholds import PUBLISHED_SHAPE as PUBLISHED_SHAPE
from .thresholds import T1 as T1
from .thresholds import T1_CONDITION as T1_CONDITION
from .thresholds import T1_INVERSE as T1_INVERSE
from .thresholds import T1_THRESHOLD as T1_THRESHOLD
from .thresholds import T2 as T2
from .thresholds import T2_THRESHOLD as T2_THRESHOLD
from .thresholds import T3_DATASET as T3_DATASET
from .thresholds import T3_SIZE as T3_SIZE
from .thresholds import T3_SIZE_INTERIOR as T3_SIZE_INTERIOR
from .thresholds import T3_THRESHOLD as T3_THRESHOLD
