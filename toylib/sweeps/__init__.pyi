from ._ensembles import as_run, train_points
from ._grids import product
from ._run import Plan, Status, plan, run, status

__all__ = ["Plan", "Status", "as_run", "plan", "product", "run", "status", "train_points"]
