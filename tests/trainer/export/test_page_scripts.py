"""The scripts of the page that read files, in a browser, beside the converter.

A page of the test's own loads them and gets files as a user gives them.
"""

import base64
import dataclasses
import pathlib
import struct
import zlib

import cv2
import numpy as np
from PIL import Image
from PIL import ImageCms
import pytest

from hpa_records.datasets import description
from hpa_records.images import decode
from hpa_records.images import load
from hpa_records.images import resize
from tests import conftest
from tests.support import browser as browser_lib
from tests.support import image_bytes
from trainer.export import page

_WEB = pathlib.Path(page.__file__).parent / 'web'
_NAMES = ('decode', 'png', 'jpeg', 'resize', 'match', 'picture', 'network')
# Returns the planes of a file, resized if a size is given; or the message.
_READ = '''
const [size, filter, done] = arguments;
const toText = plane => {
  let text = '';
  for (const each of plane) text += String.fromCharCode(each);
  return btoa(text);
};
decode(document.getElementById('file').files[0]).then(
  ({ width, height, planes }) => done([width, height, planes.map(
    plane => toText(size ? resize(plane, width, height, size, filter) : plane)
  )]), error => done(error.message));
'''


@pytest.fixture(name='read', scope='module')
def _read(tmp_path_factory):
  """A function: path, size and filter → [height, width, samples] or a line."""
  started = browser_lib.start()
  harness = tmp_path_factory.mktemp('harness') / 'page.html'
  scripts = ''.join(
      f'<script src="{(_WEB / name).as_uri()}.js"></script>' for name in _NAMES)
  harness.write_text(f'<meta charset="utf-8"><input type="file" id="file">'
                     f'{scripts}')
  started.open(harness)

  def read(path, size=0, filter_name=''):
    driver = started.driver
    driver.find_element('id', 'file').send_keys(str(path))
    found = driver.execute_async_script(_READ, size, filter_name)
    if isinstance(found, str):
      return found
    width, height, planes = found
    planes = [
        np.frombuffer(base64.b64decode(each), np.uint8) for each in planes
    ]
    shape = (size, size) if size else (height, width)
    return np.stack([each.reshape(shape) for each in planes], axis=-1)

  read.driver = started.driver
  try:
    yield read
  finally:
    started.driver.quit()


def _texture(height, width, samples, seed):
  """Noise at all scales, edges, and the extremes."""
  found = np.random.default_rng(seed).integers(0, 256, (height, width, samples),
                                               np.uint8)
  smooth = cv2.GaussianBlur(found, (0, 0), 3)
  found[height // 2:] = np.atleast_3d(smooth)[height // 2:]
  found[:4], found[:, :4] = 255, 0
  return found


def _write(path, pixels):
  cv2.imwrite(str(path), pixels)
  return path


def test_views_are_averaged_or_their_maximum_of_each_network_is(read):
  views = [[0.25, 0.5, 0.75, 0.0], [0.5, 0.25, 0.25, 1.0]]  # 2 networks
  pool = 'return Array.from(poolViews(...arguments))'
  settings = {'classes': ['a', 'b'], 'folds': [0, 1], 'isMax': True}
  assert read.driver.execute_script(pool, views, settings) == [0.625, 0.75]
  settings['isMax'] = False
  views = [each[:2] for each in views]
  assert read.driver.execute_script(pool, views, settings) == [0.375, 0.375]


def test_resizing_is_the_converter_s(read, tmp_path):
  cases = [(512, 512, 299), (70, 64, 32), (64, 64, 32), (30, 50, 40),
           (20, 20, 33), (41, 41, 41), (300, 7, 33)]
  for height, width, size in cases:
    pixels = _texture(height, width, 1, seed=size)
    path = _write(tmp_path / 'a.png', pixels)
    for name in resize.RESIZE_FILTERS:
      wanted = resize.resize(pixels[..., 0], size, name).astype(int)
      found = read(path, size, name)[..., 0]
      difference = np.abs(found - wanted).max()
      assert difference <= (name == 'area'), (height, width, size, name)


def test_real_files_become_the_pixels_of_the_converter(read):
  hpa = conftest.find_shared_data() / 'hpa'
  paths = [
      next((hpa / 'fields').glob('*_green.png')),
      *sorted((hpa / 'kaggle').rglob('*_blue.png'))[:1],
  ]
  for path in paths:
    for size in (64, 299, 600):
      how = dataclasses.replace(description.default().how(size),
                                channels=('a',),
                                colors=('#ffffff',))
      np.testing.assert_array_equal(read(path, size, 'triangle'),
                                    load.load([str(path)], how))


@pytest.mark.parametrize('samples', [1, 3, 4])
def test_pngs_are_decoded_to_the_byte(read, tmp_path, samples):
  pixels = _texture(37, 53, samples, seed=samples)  # alpha of 0, too
  # Each encoder chooses other filters of rows.
  path = tmp_path / 'a.png'
  Image.fromarray(pixels.squeeze()).save(path)
  np.testing.assert_array_equal(read(path), pixels)
  for number in range(5):
    path.write_bytes(
        cv2.imencode('.png', pixels,
                     [cv2.IMWRITE_PNG_FILTER, 1 << (number + 3)])[1])
    swapped = pixels[..., [2, 1, 0, 3][:samples]] if samples > 1 else pixels
    np.testing.assert_array_equal(read(path), swapped)


def test_profiles_and_gammas_change_no_byte(read, tmp_path):
  pixels = _texture(40, 40, 1, seed=0)[..., 0]
  profile = ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB'))
  chunks = image_bytes.chunk(b'gAMA', struct.pack('>I', 10**5))
  chunks += image_bytes.chunk(b'iCCP',
                              b'a\0\0' + zlib.compress(profile.tobytes()))
  path = tmp_path / 'a.png'
  path.write_bytes(image_bytes.png(pixels, before_data=chunks))
  np.testing.assert_array_equal(read(path)[..., 0], pixels)


def test_jpegs_are_decoded_as_the_converter_does(read, tmp_path):
  how = description.default().how(64)
  for samples in (1, 3):
    smooth = cv2.GaussianBlur(_texture(61, 83, samples, seed=1), (0, 0), 2)
    path = _write(tmp_path / 'a.jpg', smooth)
    found = read(path).astype(int)
    wanted = np.atleast_3d(np.array(Image.open(path), int))
    if samples == 1:
      wanted = decode.decode(path.read_bytes(), 'a.jpg', how)[..., np.newaxis]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1


_EXTRACT = '''
const [channel, done] = arguments;
decode(document.getElementById('file').files[0])
  .then(({ planes }) => extractPlane(planes, channel))
  .then(plane => done([...plane]), error => done(error.message));
'''


def test_tinted_files_are_read_as_the_converter_does(read, tmp_path):
  how = description.default().how(64)
  plane = _texture(30, 40, 1, seed=2)[..., 0]
  path = tmp_path / 'a.png'
  for number, (name, color) in enumerate(zip(how.channels, how.colors)):
    tint = np.array([*bytes.fromhex(color[1:])], np.uint8) // 255
    Image.fromarray(plane[..., np.newaxis] * tint).save(path)
    read(path)
    for other, other_color in zip(how.channels, how.colors):
      found = read.driver.execute_async_script(_EXTRACT, {
          'name': other,
          'color': other_color
      })
      if other == name:
        wanted = decode.decode(path.read_bytes(), 'a.png', how, number)
        np.testing.assert_array_equal(np.reshape(found, plane.shape), wanted)
      else:
        assert f'gray or {other}-tinted' in found


@pytest.mark.parametrize('name,channel,sample', [
    ('a_b_red.png', 0, 'a_b'),
    ('A_B_RED.PNG', 0, 'A_B'),
    ('a-green-2.jpg', 1, 'a--2'),
    ('green.png', 1, ''),
    ('infrared.png', None, None),
    ('a_dna.png', None, None),
    ('a_blue_red.png', 0, 'a_blue'),
])
def test_names_say_the_channel(read, name, channel, sample):
  channels = page._describe_channels(description.default())  # pylint: disable=protected-access
  found = read.driver.execute_script('return matchName(...arguments)', name,
                                     channels)
  assert found == (channel if channel is None else {
      'channel': channel,
      'sample': sample
  })


def _change(data, at):
  return data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]


_GRAY = _texture(20, 30, 1, seed=3)[..., 0]
_PNG, _JPEG = (image_bytes.save(_GRAY, kind) for kind in ('PNG', 'JPEG'))
_EXIF = image_bytes.exif(6)


@pytest.mark.parametrize('data,message', [
    (b'', 'an empty file'),
    (b'\n<!DOCTYPE html><title>Sign in</title>', 'a web page'),
    (b'a,b\n1,2\n', 'a file that is no image'),
    (image_bytes.save(_GRAY, 'TIFF'), 'a TIFF'),
    (image_bytes.png(_GRAY.astype(np.uint16)), '16-bit gray; save it as 8-bit'),
    (image_bytes.save(_GRAY > 99, 'PNG'), '1-bit gray'),
    (image_bytes.png(np.dstack([_GRAY] * 2)), '8-bit gray with alpha'),
    (image_bytes.png(_GRAY, interlaced=True), 'an interlaced PNG'),
    (image_bytes.png_header(10**4, 10**4) + _PNG[33:], '10000 × 10000 pixels'),
    (_PNG[:-20], 'a truncated PNG'),
    (_PNG[:30], 'a truncated PNG'),
    (_PNG + b'more', 'a PNG with other data after its end'),
    (_change(_PNG, 60), 'a damaged PNG'),
    (image_bytes.png_header(21, 30) + _PNG[33:], 'a damaged PNG'),
    (image_bytes.save(_GRAY, 'PNG', exif=_EXIF), 'a rotated or mirrored one'),
    (image_bytes.save(_GRAY, 'JPEG',
                      exif=b'Exif\0\0' + _EXIF), 'a rotated or mirrored one'),
    (_JPEG[:-20], 'a JPEG that is truncated'),
    (_JPEG + b'more', 'a JPEG that is truncated or has data after its end'),
    (_JPEG[:4] + _JPEG[-2:], 'a JPEG without a frame header'),
    (_JPEG[:160] + _JPEG[-2:], ''),
],
                         ids=lambda each: each if isinstance(each, str) else '')
def test_other_files_get_a_line(read, tmp_path, data, message):
  path = tmp_path / 'a.png'
  path.write_bytes(data)
  found = read(path)
  assert found.startswith('Expected an 8-bit PNG or JPEG, received ')
  assert message in found
