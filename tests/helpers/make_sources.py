"""Write small datasets in the layouts of the unpacked originals."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid


def disk(height: int, width: int, *, centre: tuple[float, float], radius: float) -> np.ndarray:
    """Draw a filled circle, (height,width) bool."""
    rows, columns = np.indices((height, width))
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def pictures(folder: Path, number: int, *, size: tuple[int, int] = (40, 60), values=(1, 2)) -> Path:
    """Write images/ and masks/: a bright disk for each class value, with a new place and size in every image."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(number):
        mask = np.zeros(size, np.uint8)
        for k, value in enumerate(values):
            mask[
                disk(
                    *size,
                    centre=(size[0] / 3 + i % 7, size[1] * (k + 1) / (len(values) + 1)),
                    radius=size[0] / 8 + i % 3,
                )
            ] = value
        noise = np.random.default_rng(i).integers(0, 40, size)
        save(folder / "images" / f"case{i:02d}.png", np.where(mask > 0, 200, 60) + noise)
        save(folder / "masks" / f"case{i:02d}.png", mask)
    return folder


def npz(file: Path, number: int, *, ids: list[str] | None = None, **about) -> Path:
    """Write NAME.npz and NAME.json of 32x32 images with one disk, class 1."""
    file.parent.mkdir(parents=True, exist_ok=True)
    labels = np.stack([disk(32, 32, centre=(10 + i % 9, 16), radius=6) for i in range(number)]).astype(np.uint8)
    images = 40 + 150 * labels + np.random.default_rng(0).integers(0, 30, labels.shape).astype(np.uint8)
    np.savez(file, images=images, labels=labels, ids=np.array(ids or [f"p{i}" for i in range(number)]))
    file.with_suffix(".json").write_text(json.dumps({"classes": ["background", "disk"], **about}))
    return file


def ball(shape: tuple[int, int, int], *, centre: tuple[float, float, float], radius: float) -> np.ndarray:
    """Draw a filled ball, (X,Y,Z) bool."""
    distance = np.sqrt(sum((axis - c) ** 2 for axis, c in zip(np.indices(shape), centre, strict=True)))
    return distance <= radius


def nifti(file: Path, voxels: np.ndarray, *, spacing=(1.0, 1.0, 2.0), affine: np.ndarray | None = None) -> Path:
    """Write one NIfTI file; axes point to the right, front and head unless an affine is given."""
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, np.diag([*spacing, 1.0]) if affine is None else affine), file)
    return file


def nifti_pairs(folder: Path, number: int, *, channels: int = 1, **about) -> Path:
    """Write imagesTr/, labelsTr/ and dataset.json of the Decathlon: a small ball (2) in a larger one (1)."""
    for i in range(number):
        labels = ball((20, 24, 12), centre=(8 + i % 3, 12, 6), radius=5).astype(np.uint8)
        labels[ball((20, 24, 12), centre=(8 + i % 3, 12, 4), radius=2)] = 2
        noise = np.random.default_rng(i).normal(0, 5, (*labels.shape, channels))
        image = (100 * labels[..., None] + 50 + noise).astype(np.float32)
        nifti(folder / "imagesTr" / f"scan_{i:03d}.nii.gz", image[..., 0] if channels == 1 else image)
        nifti(folder / "labelsTr" / f"scan_{i:03d}.nii.gz", labels)
        (folder / "imagesTr" / f"._scan_{i:03d}.nii.gz").write_bytes(b"macOS leaves these in archives")
    if about:
        (folder / "dataset.json").write_text(json.dumps(about))
    return folder


def dicom_series(
    folder: Path, voxels: np.ndarray, *, spacing=(1.0, 2.0, 3.0), shuffle: bool = True, **tags
) -> list[Path]:
    """Write one file for each slice of int16 voxels (rows, columns, slices), in shuffled order."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(0).permutation(voxels.shape[2]) if shuffle else range(voxels.shape[2])
    series, files = generate_uid(), []
    for number, k in enumerate(order):
        dataset = FileDataset(None, {}, file_meta=FileMetaDataset(), preamble=b"\0" * 128)
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", generate_uid()
        dataset.SeriesInstanceUID, dataset.Modality = series, "CT"
        dataset.Rows, dataset.Columns = voxels.shape[:2]
        dataset.PixelSpacing = list(spacing[:2])
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.ImagePositionPatient = [-10.0, -20.0, 5.0 + spacing[2] * int(k)]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated = dataset.BitsStored = 16
        dataset.HighBit, dataset.PixelRepresentation = 15, 1
        dataset.PixelData = np.ascontiguousarray(voxels[..., k], dtype="<i2").tobytes()
        for tag, value in tags.items():
            setattr(dataset, tag, value)
        files.append(folder / f"IM{number}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def complete_series(folder: Path) -> None:
    """Give a series what the standard asks of every image, so that it can be referenced."""
    study, frame = generate_uid(), generate_uid()
    for k, file in enumerate(sorted(folder.iterdir())):
        dataset = pydicom.dcmread(file)
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = study, frame
        dataset.PatientID = dataset.PatientName = dataset.StudyID = "1"
        dataset.PatientBirthDate = dataset.PatientSex = dataset.StudyDate = dataset.StudyTime = ""
        dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.Manufacturer = ""
        dataset.SeriesNumber, dataset.InstanceNumber, dataset.SliceThickness = 3, k + 1, 3
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(file, enforce_file_format=True)


def dicom_frames(file: Path, frames: np.ndarray, slices, *, segments=(), spacing=(1.0, 2.0, 3.0), **tags) -> Path:
    """Write one multi-frame file on the voxels of `dicom_series`.

    Args:
        frames: (rows, columns, frames) of int16 values, or of bytes for a segmentation.
        slices: slice of each frame.
        segments: segment of each frame, for a segmentation.
    """
    [classic] = dicom_series(file.parent, frames[..., :1].astype(np.int16), spacing=spacing, **tags)
    dataset = pydicom.dcmread(classic)
    classic.unlink()
    measures, orientation, rescale = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, orientation.ImageOrientationPatient = dataset.PixelSpacing, dataset.ImageOrientationPatient
    rescale.RescaleSlope, rescale.RescaleIntercept = tags.get("RescaleSlope", 1), tags.get("RescaleIntercept", 0)
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [rescale]
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset() for _ in slices]
    for i, (group, k) in enumerate(zip(dataset.PerFrameFunctionalGroupsSequence, slices, strict=True)):
        place, segment = Dataset(), Dataset()
        place.ImagePositionPatient = [-10.0, -20.0, 5.0 + spacing[2] * int(k)]
        group.PlanePositionSequence = [place]
        if len(segments):
            segment.ReferencedSegmentNumber = int(segments[i])
            group.SegmentIdentificationSequence = [segment]
    for tag in ("PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "RescaleSlope", "RescaleIntercept"):
        if tag in dataset:
            delattr(dataset, tag)
    dataset.NumberOfFrames = len(slices)
    bits = 8 * frames.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(frames.dtype.kind == "i")
    dataset.PixelData = np.ascontiguousarray(np.moveaxis(frames, -1, 0)).tobytes()
    dataset["PixelData"].VR = "OW" if bits == 16 else "OB"
    dataset.save_as(file, enforce_file_format=True)
    return file


def dicom_segmentation(file: Path, labels: np.ndarray, names: dict[int, str], *, binary: bool = True, **tags) -> Path:
    """Write a SEG object: the slices of each segment that show it, in shuffled order."""
    pairs = [(value, k) for value in names for k in range(labels.shape[2]) if (labels[..., k] == value).any()]
    pairs = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]
    frames = np.stack([(labels[..., k] == value) for value, k in pairs], axis=-1).astype(np.uint8)
    segments = [Dataset() for _ in names]
    for segment, (value, name) in zip(segments, names.items(), strict=True):
        segment.SegmentNumber, segment.SegmentLabel = value, name
    about = {"Modality": "SEG", "SegmentSequence": segments, "SegmentationType": "BINARY" if binary else "FRACTIONAL"}
    if not binary:
        frames, about["MaximumFractionalValue"] = frames * 200 + 20, 220
    values, slices = zip(*pairs, strict=True)
    dicom_frames(file, frames, slices, segments=values, **about, **tags)
    if binary:  # one bit a pixel, frames end to end
        dataset = pydicom.dcmread(file)
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 1, 1, 0
        bits = np.packbits(np.moveaxis(frames, -1, 0).ravel(), bitorder="little").tobytes()
        dataset.PixelData = bits + b"\0" * (len(bits) % 2)
        dataset.save_as(file, enforce_file_format=True)
    return file


def wbc(folder: Path) -> Path:
    """Write both subsets of segmentation_WBC, three cells each."""
    for subset in ("Dataset 1", "Dataset 2"):
        (folder / subset).mkdir(parents=True)
        for i in range(1, 4):
            cell, nucleus = (disk(50, 50, centre=(25, 20 + i), radius=radius) for radius in (18, 8))
            save(folder / subset / f"{i:03d}.bmp", np.stack([120 - 60 * nucleus + 40 * cell] * 3, axis=-1))
            save(folder / subset / f"{i:03d}.png", np.where(nucleus, 255, np.where(cell, 128, 0)))
    return folder


def acdc(folder: Path, patients: int = 3) -> Path:
    """Write patients with an Info.cfg, two frames with ground truth, and the whole sequence."""
    for p in range(1, patients + 1):
        place = folder / "training" / f"patient{p:03d}"
        for frame in ("01", "12"):
            labels = 3 * ball((30, 32, 6), centre=(15, 16, 3), radius=4 + p).astype(np.uint8)
            labels[2:6, 4:9, 1:5], labels[2:6, 20:25, 1:5] = 1, 2
            image = (labels * 30 + 40).astype(np.int16)
            nifti(place / f"patient{p:03d}_frame{frame}.nii.gz", image, spacing=(1.5, 1.5, 10.0))
            nifti(place / f"patient{p:03d}_frame{frame}_gt.nii.gz", labels, spacing=(1.5, 1.5, 10.0))
        nifti(place / f"patient{p:03d}_4d.nii.gz", np.stack([image, image], -1), spacing=(1.5, 1.5, 10.0))
        (place / "Info.cfg").write_text("ED: 1\nES: 12\nGroup: DCM\n")
    return folder


def hc18(folder: Path) -> tuple[Path, np.ndarray]:
    """Write three fetuses, one of them twice, and return the head (H,W) bool inside all outlines."""
    rows, columns = np.indices((80, 100)) - np.array([40.0, 50.0])[:, None, None]
    distance = np.hypot(rows / 25, columns / 35)
    (folder / "training_set").mkdir(parents=True)
    for name in ("000_HC", "001_HC", "001_2HC", "002_HC"):
        save(folder / "training_set" / f"{name}.png", np.where(distance < 1, 130, 30))
        save(folder / "training_set" / f"{name}_Annotation.png", np.where(np.abs(distance - 1) < 0.04, 255, 0))
    (folder / "training_set_pixel_size_and_HC.csv").write_text("filename,pixel size(mm),head circumference (mm)\n")
    return folder, distance <= 1


def bbbc038(folder: Path, images: int = 4) -> Path:
    """Write images with a mask for each of two nuclei."""
    for i in range(images):
        place = folder / "stage1_train" / f"{i:064x}"
        nuclei = [disk(40, 48, centre=(12 + i, column), radius=5) for column in (12, 34)]
        (place / "images").mkdir(parents=True)
        (place / "masks").mkdir()
        pixels = np.where(nuclei[0] | nuclei[1], 220, 20)
        save(place / "images" / f"{place.name}.png", np.stack([pixels, pixels, pixels, np.full_like(pixels, 255)], -1))
        for k, nucleus in enumerate(nuclei):
            save(place / "masks" / f"{k}.png", 255 * nucleus)
    return folder


def save(file: Path, pixels: np.ndarray) -> None:
    """Save an array as 8-bit picture."""
    Image.fromarray(pixels.astype(np.uint8)).save(file)
