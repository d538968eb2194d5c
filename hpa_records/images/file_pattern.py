"""The extensions of image files, and the formats that they stand for."""

# File extension → required format.
FORMATS = {
    '.png': 'PNG',
    '.tif': 'TIFF',
    '.tiff': 'TIFF',
    '.jpg': 'JPEG',
    '.jpeg': 'JPEG',
    '.tif.gz': 'TIFF',
    '.tiff.gz': 'TIFF',
    '.jp2': 'JPEG 2000',
    '.j2k': 'JPEG 2000'
}
ENDINGS = ', '.join(FORMATS)


def strip_extension(name: str) -> str:
  """Returns a file's name without its extension; other dots are kept.

  Args:
    name: such as a.b.png or a.ome.tif, which become a.b and a.
  """
  for ending in ('.gz', *FORMATS, '.ome'):
    if name.lower().endswith(ending):
      name = name[:-len(ending)]
  return name
