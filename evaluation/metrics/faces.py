"""Faces: detection failure, and whether it is still the same person. For photographs of people.

Needs the packages of evaluation/requirements-judges.txt: dlib, and the weights that `face-recognition-models` carries.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .packages import carried

WEIGHTS = "face_recognition_models/models"


@dataclass(frozen=True)
class FaceFigures:
    """Of generated pictures against the subject's own photographs."""

    failure: float  # share of the pictures in which no face is found
    # Mean cosine of the found faces to the subject's mean face; nan where none was found. It does not begin at 0: another
    # person's face has .75 to .92, other photographs of the same person .95 and more.
    identity: float


class FaceJudge:
    """dlib's detector and its 128-dimensional face descriptor."""

    def __init__(self) -> None:
        import dlib

        def weights(name: str) -> str:
            return str(carried("face-recognition-models", f"{WEIGHTS}/{name}.dat"))

        self.detect = dlib.get_frontal_face_detector()
        self.landmarks = dlib.shape_predictor(weights("shape_predictor_5_face_landmarks"))
        self.describe = dlib.face_recognition_model_v1(weights("dlib_face_recognition_resnet_model_v1"))

    def descriptors(self, images: list[Image.Image]) -> list[np.ndarray]:
        """One unit vector for the largest face of each picture that has a face."""
        found = []
        for image in images:
            pixels = np.asarray(image.convert("RGB"))
            faces = self.detect(pixels, 1)
            if not faces:
                continue
            largest = max(faces, key=lambda box: box.width() * box.height())
            vector = np.array(self.describe.compute_face_descriptor(pixels, self.landmarks(pixels, largest)))
            found.append(vector / np.linalg.norm(vector))
        return found

    def figures(self, generated: list[Image.Image], subject: list[Image.Image]) -> FaceFigures:
        """Detection failure and identity score of `generated`; `subject` holds clean photographs of the person."""
        own, other = self.descriptors(subject), self.descriptors(generated)
        failure = 1 - len(other) / len(generated)
        if not own or not other:
            return FaceFigures(failure, float("nan"))
        mean = np.mean(own, axis=0)
        mean /= np.linalg.norm(mean)
        return FaceFigures(failure, float(np.mean([vector @ mean for vector in other])))
