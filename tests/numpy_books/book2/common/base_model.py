"""Book 2's files of parameters."""

import pickle

import numpy as np


class BaseModel:
    def save_params(self, file_name=None):
        with open(file_name or f"{type(self).__name__}.pkl", "wb") as file:
            pickle.dump([p.astype(np.float16) for p in self.params], file)

    def load_params(self, file_name=None):
        with open(file_name or f"{type(self).__name__}.pkl", "rb") as file:
            for own, stored in zip(self.params, pickle.load(file), strict=True):
                own[...] = stored
