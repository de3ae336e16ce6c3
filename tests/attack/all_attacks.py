"""Imports every module that enters attacks into the table."""

import attacks_book1 as attacks_book1
import attacks_functions as attacks_functions
import attacks_kernels as attacks_kernels
import attacks_language as attacks_language
import attacks_layers as attacks_layers
import attacks_losses as attacks_losses
import attacks_models as attacks_models
import attacks_optimizers as attacks_optimizers
import attacks_time_layers as attacks_time_layers
import attacks_trainers as attacks_trainers
import attacks_util as attacks_util
from table import ATTACKS as ATTACKS
