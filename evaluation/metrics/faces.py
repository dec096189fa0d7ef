"""Faces: detection failure, and whether it is still the same person. For photographs of people.

Needs the packages `dlib` and `face-recognition-models` (weights included) from PyPI.
"""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .images import to_pil


@dataclass(frozen=True)
class FaceFigures:
    """Of generated pictures against the subject's own photographs."""

    failure: float  # share of the pictures in which no face is found
    identity: float  # mean cosine of the found faces to the subject's mean face; nan where none was found


class FaceJudge:
    """dlib's detector and its 128-dimensional face descriptor."""

    def __init__(self) -> None:
        import dlib
        import face_recognition_models as weights

        self.detect = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(weights.pose_predictor_five_point_model_location())
        self.describe = dlib.face_recognition_model_v1(weights.face_recognition_model_location())

    def descriptors(self, images: Tensor) -> list[np.ndarray]:
        """One unit vector for the largest face of each picture that has a face."""
        found = []
        for image in to_pil(images):
            pixels = np.asarray(image)
            faces = self.detect(pixels, 1)
            if not faces:
                continue
            largest = max(faces, key=lambda box: box.width() * box.height())
            vector = np.array(self.describe.compute_face_descriptor(pixels, self.landmarks(pixels, largest)))
            found.append(vector / np.linalg.norm(vector))
        return found

    def figures(self, generated: Tensor, subject: Tensor) -> FaceFigures:
        """Detection failure and identity score of `generated`; `subject` holds clean photographs of the person."""
        own, other = self.descriptors(subject), self.descriptors(generated)
        failure = 1 - len(other) / len(generated)
        if not own or not other:
            return FaceFigures(failure, float("nan"))
        mean = np.mean(own, axis=0)
        mean /= np.linalg.norm(mean)
        return FaceFigures(failure, float(np.mean([vector @ mean for vector in other])))
