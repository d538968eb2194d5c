"""stack: which planes of a stacked file become which channel."""

import numpy as np
import pytest

from hpa_records.images import stack
from hpa_records.runtime import errors


def _pages(count, num_channels, text='', **settings):
  chosen = stack.Stack('pages', **settings)
  stack.check(chosen, num_channels)
  names = [f'c{i}' for i in range(num_channels)]
  return stack.find_pages(chosen, names, count, text)


def _imagej(**sizes):
  lines = [f'{name}={number}' for name, number in sizes.items()]
  return '\n'.join(['ImageJ=1.54f', *lines, 'unit=micron'])


def _ome(order, **sizes):
  numbers = {'SizeC': 1, 'SizeZ': 1, 'SizeT': 1, **sizes}
  declared = ' '.join(f'{name}="{each}"' for name, each in numbers.items())
  return (f'<?xml version="1.0"?><OME><Image><Pixels DimensionOrder="{order}" '
          f'{declared}></Pixels></Image></OME>')


def test_all_pages_are_channels_unless_axes_are_known():
  assert _pages(3, 3) == ((0,), (1,), (2,))
  assert _pages(5, 2, planes=(4, 1)) == ((4,), (1,))
  assert _pages(1, 1) == ((0,),)


@pytest.mark.parametrize('axes', ['CZ', 'C2Z', 'CZ3', 'C2Z3', 'ZC', 'Z3C2'])
def test_axes_are_slowest_first(axes):
  pages = np.arange(6).reshape((2, 3) if axes[0] == 'C' else (3, 2))
  want = pages if axes[0] == 'C' else pages.T
  assert _pages(6, 2, axes=axes,
                project='max') == tuple(map(tuple, want.tolist()))
  assert _pages(6, 2, axes=axes, project='middle') == tuple(
      (each,) for each in want[:, 1].tolist())


def test_focal_planes_of_one_channel():
  assert _pages(4, 1, axes='Z', project='max') == ((0, 1, 2, 3),)
  assert _pages(4, 1, axes='Z', project='middle') == ((2,),)


@pytest.mark.parametrize('text,want', [
    (_imagej(images=6, channels=2, slices=3, hyperstack='true'), ((0, 2, 4),
                                                                  (1, 3, 5))),
    (_imagej(images=6, channels=2, slices=3, frames=1), ((0, 2, 4), (1, 3, 5))),
    (_ome('XYCZT', SizeC=2, SizeZ=3), ((0, 2, 4), (1, 3, 5))),
    (_ome('XYZCT', SizeC=2, SizeZ=3), ((0, 1, 2), (3, 4, 5))),
    (_ome('XYTZC', SizeC=2, SizeZ=3), ((0, 1, 2), (3, 4, 5))),
    ('{"shape": [2, 3, 9, 9], "axes": "CZYX"}', ((0, 1, 2), (3, 4, 5))),
])
def test_axes_of_the_file(text, want):
  assert _pages(6, 2, text, project='max') == want


def test_given_axes_are_preferred_to_those_of_the_file():
  wrong = _imagej(images=6, slices=6)
  assert _pages(6, 2, wrong, axes='CZ', project='middle') == ((1,), (4,))
  assert _pages(6, 6, wrong, axes='C') == tuple((i,) for i in range(6))


def test_an_imagej_stack_without_names_has_channels():
  assert _pages(3, 3, _imagej(images=3)) == ((0,), (1,), (2,))


@pytest.mark.parametrize('count,num_channels,text,settings,received', [
    (3, 5, '', {}, '5 planes, one for each channel, received 3'),
    (5, 3, '', {}, 'received 5; give the plane of each channel'),
    (3, 2, '', {
        'planes': (0, 3)
    }, 'expected at least 4 planes, received 3'),
    (101, 2, '', {
        'axes': 'CZ'
    }, 'pages of C = 2, Z = 50, received 101 pages'),
    (6, 2, '', {
        'axes': 'CZ'
    }, 'expected one focal plane of a channel, received 3; choose'),
    (6, 2, _imagej(images=6, channels=2, frames=3), {}, 'received T = 3'),
    (5, 2, _imagej(images=6, channels=2, slices=3), {}, 'received 5 pages'),
    (6, 2, _ome('XYCZT', SizeC=2, SizeT=3), {}, 'received T = 3'),
    (6, 2, _ome('XYCZT', SizeC=0), {}, 'received 6 pages'),
    (6, 2, _ome('XYCCT', SizeC=2), {}, 'without a valid DimensionOrder'),
    (6, 2, _ome('XYCZT', SizeC='&lol;'), {}, "number in the description"),
    (6, 2, _ome('XYCZT', SizeC=2) * 2, {}, 'of one image, received 2'),
    (6, 2, _ome('XYCZT', SizeC=2, SizeZ=3) + '<TiffData IFD="1" FirstZ="1"/>',
     {}, 'plane 2 is image 1'),
    (6, 2, '{"shape": [6, 9, 9], "axes": "QYX"}', {}, 'received Q = 6'),
])
def test_other_files_are_refused(count, num_channels, text, settings, received):
  with pytest.raises(errors.DataError, match=received) as error:
    _pages(count, num_channels, text, **settings)
  assert '\n' not in str(error.value)


def test_ome_planes_in_their_order_are_read():
  text = _ome('XYCZT', SizeC=2, SizeZ=3) + ''.join(
      f'<TiffData FirstC="{c}" FirstZ="{z}" IFD="{c + 2 * z}" PlaneCount="1"/>'
      for c in range(2)
      for z in range(3))
  assert _pages(6, 2, text, project='middle') == ((2,), (3,))


@pytest.mark.parametrize('settings,received', [
    ({
        'kind': 'layers'
    }, "received 'layers'"),
    ({
        'project': 'mean'
    }, "received 'mean'"),
    ({
        'axes': 'TC'
    }, "received 'TC'"),
    ({
        'axes': 'CC'
    }, "received 'CC'"),
    ({
        'axes': 'C0'
    }, "received 'C0'"),
    ({
        'kind': 'planes',
        'axes': 'C'
    }, "axes of pages, such as"),
    ({
        'planes': (0,)
    }, r'each of 2 channels, received \(0,\)'),
    ({
        'planes': (0, -1)
    }, r'received \(0, -1\)'),
    ({
        'planes': (0, 2),
        'axes': 'CZ'
    }, 'number of channels in the file'),
])
def test_other_settings_are_refused(settings, received):
  with pytest.raises(errors.DataError, match=received):
    stack.check(stack.Stack(**{'kind': 'pages', **settings}), 2)
