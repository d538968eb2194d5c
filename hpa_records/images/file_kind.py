"""Identifies a file by its first bytes, for error messages.

Archives, web pages and Git LFS pointers are often found under the names of
images and tables. These are names only: what can be read stands in header.py.

Source: the signatures are those of the formats' specifications, as listed in
Wikipedia, "List of file signatures".
"""

HEAD_BYTES = 32  # of the file, needed by describe

_KINDS = (
    (b'PK\x03\x04', 'a ZIP archive, such as an Excel workbook'),
    (b'PK\x05\x06', 'an empty ZIP archive'),
    (b'\x1f\x8b', 'a gzip file'),
    (b'BZh', 'a bzip2 file'),
    (b'\xfd7zXZ\0', 'an xz file'),
    (b'7z\xbc\xaf\x27\x1c', 'a 7z archive'),
    (b'Rar!', 'a RAR archive'),
    (b'\x28\xb5\x2f\xfd', 'a Zstandard file'),
    (b'\x89PNG\r\n\x1a\n', 'a PNG'),
    (b'II*\0', 'a TIFF'),
    (b'MM\0*', 'a TIFF'),
    (b'II+\0', 'a BigTIFF'),
    (b'MM\0+', 'a BigTIFF'),
    (b'\xff\xd8\xff', 'a JPEG'),
    (b'GIF8', 'a GIF'),
    (b'BM', 'a BMP'),
    (b'\0\0\0\x0cjP  \r\n', 'a JPEG 2000'),
    (b'\xff\x4f\xff\x51', 'a JPEG 2000'),
    (b'\xff\x0a', 'a JPEG XL'),
    (b'\0\0\0\x0cJXL ', 'a JPEG XL'),
    (b'II\xbc\x01', 'a JPEG XR'),
    (b'ZISRAWFILE', 'a CZI of Zeiss'),
    (b'\xda\xce\xbe\x0a', 'an ND2 of Nikon'),
    (b'\x89HDF\r\n\x1a\n', 'an HDF5 file'),
    (b'\x93NUMPY', 'a NumPy array'),
    (b'SIMPLE  =', 'a FITS file'),
    (b'%PDF', 'a PDF'),
    (b'\xd0\xcf\x11\xe0', 'an OLE file, such as an old Excel workbook'),
    (b'PAR1', 'a Parquet file'),
    (b'\0\x05\x16\x07', 'an AppleDouble file, which macOS puts beside others'),
    (b'version https://git-lfs', 'a pointer of Git LFS in place of the file'),
    (b'\xff\xfe', 'UTF-16 text'),
    (b'\xfe\xff', 'UTF-16 text'),
    (bytes(8), 'a file of zero bytes, as a crash leaves it'),
)
_ISO_MEDIA = {b'avif': 'an AVIF', b'avis': 'an AVIF'}
_PAGES = (b'<!doctype html', b'<html', b'<head')


def describe(head: bytes) -> str:
  """Returns the kind of a file, with its article; '' if unknown.

  Args:
    head: the file's first HEAD_BYTES bytes, fewer if it is shorter.
  """
  if head[:4] == b'RIFF' and head[8:12] == b'WEBP':
    return 'a WebP'
  if head[4:8] == b'ftyp':
    return _ISO_MEDIA.get(head[8:12], 'a HEIF or a video')
  text = head.removeprefix(b'\xef\xbb\xbf').lstrip().lower()
  if text.startswith(_PAGES):
    return 'a web page'
  if text.startswith(b'<?xml'):
    return 'an XML file'
  return next((kind for start, kind in _KINDS if head.startswith(start)), '')
