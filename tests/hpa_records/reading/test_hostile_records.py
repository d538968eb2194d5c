"""Forged shards: declared sizes allocate no memory and abort no process."""

import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

from hpa_records.format import spec
from hpa_records.format import tfrecord
from hpa_records.images import pixel_codec
from hpa_records.reading import dataset
from hpa_records.reading import how as how_lib
from hpa_records.reading import reader
from hpa_records.runtime import errors
from hpa_records.sampling import epoch_plan
from tests.support import fakes
from tests.support import forgery
from tests.support import image_bytes

_ROOT = pathlib.Path(__file__).parents[3]
_WAYS = {
    'streaming raw': ('raw', how_lib.How(reader='streaming')),
    'streaming png': ('png', how_lib.How(reader='streaming')),
    'indexed png': ('png', how_lib.How(check='crc')),
    'host png': ('png', how_lib.How(cache='host')),
}


@pytest.fixture(name='folders', scope='module')
def _folders(tmp_path_factory):
  return {
      encoding:
          forgery.write_dataset(tmp_path_factory.mktemp(encoding), encoding)
      for encoding in spec.ENCODINGS
  }


@pytest.fixture(name='copy')
def _copy(folders, tmp_path, request):
  for path in folders[request.param].iterdir():
    (tmp_path / path.name).write_bytes(path.read_bytes())
  return tmp_path


def _read_all(folder, how):
  """Takes an epoch of training without fold 1, and fold 0."""
  records = dataset.load(str(folder))
  reading = reader.Reader(records, 1, how)
  key = epoch_plan.Key(0, 0, 1)
  epoch = epoch_plan.shuffle(records.repeats(1), key)
  with reading.translate_errors():
    list(reading.training(epoch, key, epoch_plan.Share(4)).as_numpy_iterator())


def _write_length(path, length):
  head = struct.pack('<Q', length)
  with open(path, 'r+b') as file:
    file.write(head + tfrecord.checksum([head]))


def _first_sample(folder):
  return next(
      each for each in fakes.read_samples(folder).values() if each.fold == 0)


def _add_text(folder):
  """The first record's PNG has a chunk of text before its pixels."""
  sample = _first_sample(folder)
  png = pixel_codec.encode(np.zeros((16, 16, 4), np.uint8), 'png').tobytes()
  room = len(sample.image) - len(png) - len(image_bytes.chunk(b'zTXt', b''))
  text = image_bytes.chunk(b'zTXt', bytes(room))
  forgery.forge_record(folder, id=sample.id, image=png[:33] + text + png[33:])


def _make_png_huge(folder):
  """The first record's PNG says another size, with right checksums."""
  sample = _first_sample(folder)
  png = bytearray(sample.image)
  png[16:24] = struct.pack('>II', 30000, 30000)
  png[29:33] = struct.pack('>I', zlib.crc32(bytes(png[12:29])))
  forgery.forge_record(folder, id=sample.id, image=bytes(png))


@pytest.mark.parametrize('length', [2**60, 2**36, 0])
@pytest.mark.parametrize(
    'way,copy',
    [
        (way, encoding)
        for way, (encoding, _) in _WAYS.items()
        if way != 'host png'  # reads what the index says
    ],
    indirect=['copy'])
def test_a_frame_of_another_length_is_an_error(copy, way, length):
  path = sorted(copy.glob('fold0*.tfrecord'))[0]
  _write_length(path, length)
  with pytest.raises(errors.DataError,
                     match=f'{path}(: its frame does| is damaged)'):
    _read_all(copy, _WAYS[way][1])


@pytest.mark.parametrize('way', ['streaming png', 'indexed png', 'host png'])
@pytest.mark.parametrize('copy', ['png'], indirect=True)
@pytest.mark.parametrize('change', [_make_png_huge, _add_text])
def test_a_png_of_another_kind_is_not_decoded(copy, way, change):
  change(copy)
  with pytest.raises(errors.DataError, match='fold0.*( is damaged|not a png)'):
    _read_all(copy, _WAYS[way][1])


@pytest.mark.parametrize('place,byte', [(24, 16), (25, 2), (0, 0)])
def test_a_png_of_other_bits_or_colors_is_not_decoded(place, byte):
  png = pixel_codec.encode(np.zeros((5, 5, 4), np.uint8), 'png')
  assert not pixel_codec.decode(png, 'png', 5, 4).any()
  png[place] = byte
  with pytest.raises(errors.DataError, match='not a png image'):
    pixel_codec.decode(png, 'png', 5, 4)


_FEW_FILES = '''
import resource, sys
import numpy as np
from hpa_records.reading import dataset
from hpa_records.reading.payload import shards as shards_lib
from hpa_records.runtime import errors
records = dataset.load(sys.argv[1])
shards = shards_lib.Shards(records)
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
kept = []
try:
  while True:
    kept.append(open('/dev/null'))
except OSError:
  pass
try:
  shards.read(np.arange(20), np.empty((20, 16, 16, 4), np.uint8))
except errors.DataError as error:
  print(error)
'''


@pytest.mark.parametrize('copy', ['raw'], indirect=True)
def test_too_many_open_files_are_an_error_with_a_remedy(copy):
  said = subprocess.run([sys.executable, '-c', _FEW_FILES,
                         str(copy)],
                        cwd=_ROOT,
                        check=True,
                        capture_output=True,
                        text=True).stdout
  assert 'Too many open files' in said and 'ulimit -n' in said
  assert 'convert' not in said
