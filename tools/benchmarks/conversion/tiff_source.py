"""Makes files of 16-bit TIFFs with five channels, for conversion.convert.

They are gray and uncompressed, as those of the Broad Bioimage Benchmark
Collection. The pixels of the first channels are those of the given PNGs, the
fifth is the mean of two of them.
"""

import dataclasses
import json
import os

import cv2
import numpy as np

from benchmarks.conversion import conversion_job
from hpa_records.datasets import description

# 0.8 GB of 512 x 512 pixels.
_MAX_SAMPLES = 300
_CHANNELS = ('c1', 'c2', 'c3', 'c4', 'c5')


def make(job: conversion_job.Job) -> conversion_job.Job:
  """Returns the job for the first samples of another, as TIFFs.

  Args:
    job: with four 8-bit gray PNGs a sample; the TIFFs are made in its scratch.

  Raises:
    RuntimeError: a file cannot be written.
  """
  folder = os.path.join(job.scratch, 'tiffs')
  os.makedirs(folder)
  samples = []
  for sample in job.samples[:_MAX_SAMPLES]:
    planes = [
        cv2.imread(path, cv2.IMREAD_GRAYSCALE).astype(np.uint16)
        for path in sample['files']
    ]
    planes.append((planes[0] + planes[1]) // 2)
    files = [
        os.path.join(folder, f'{sample["id"]}_{name}.tif') for name in _CHANNELS
    ]
    for path, plane in zip(files, planes):
      if not cv2.imwrite(path, plane * 257, (cv2.IMWRITE_TIFF_COMPRESSION, 1)):
        raise RuntimeError(f'OpenCV cannot write {path}')
    samples.append({**sample, 'files': files})
  return dataclasses.replace(job,
                             images=folder,
                             samples=samples,
                             dataset=_describe(job.scratch))


def _describe(scratch: str) -> str:
  """Returns the path of the description of the TIFFs."""
  names = [each.name for each in description.default().classes]
  path = os.path.join(scratch, 'tiffs.toml')
  with open(path, 'w', encoding='utf-8') as file:
    file.write(f'classes = {json.dumps(names)}\n'
               '[table]\nid = "Id"\nlabels = "Target"\nform = "numbers"\n'
               '[images]\npattern = "{id}_{channel}.tif"\n'
               '[intensity]\nrule = "full_scale"\n' + ''.join(
                   f'[[channels]]\nname = "{name}"\n' for name in _CHANNELS))
  return path
