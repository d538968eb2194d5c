"""What a dataset is: its table, image files, channels, classes and intensity.

A description is read from a TOML file (description), and stored in the
manifest, since new images must be read in the same way. docs/own_images.md
lists the keys. The names of the fields are the keys of the file.

Templates are those of the module template.
"""

import dataclasses

from hpa_records.format import spec as spec_lib
from hpa_records.images import how as how_lib
from hpa_records.images import intensity as intensity_lib
from hpa_records.images import resize as resize_lib
from hpa_records.images import stack as stack_lib

FORMS = ('numbers', 'names', 'columns', 'folders')

MAX_LEVEL = 65535


@dataclasses.dataclass(frozen=True)
class Join:
  """Columns of a second table, added to the rows that match.

  Attributes:
    csv: path of the second table, relative to the first.
    on: pairs (column of the first table, column of the second); decimal
      numbers are compared as numbers, so 0.300000 matches 0.3; 01 and 1e2 are
      text.
    unmatched: 'refuse', or 'drop' rows without a match.
  """
  csv: str
  on: tuple[tuple[str, str], ...]
  unmatched: str = 'refuse'


@dataclasses.dataclass(frozen=True)
class Table:
  """How rows become samples.

  Attributes:
    id: a column, or a template.
    labels: columns with labels; () for class columns and class folders.
    form: one of FORMS: labels are numbers 0..K-1, or names; or the table has a
      boolean column for each class; or the pattern has {class}.
    separator: between labels; ' ' is any white space. A single name is not
      separated.
    repeated: 'merge' labels that a sample has twice, or 'refuse' them.
    empty: 'refuse' samples without a label, 'allow' them, or the name of a
      class that they get; samples with only ignored labels get no class.
    single: whether each sample has at most one label.
    ignored: labels that are no class.
    group: columns; samples with equal values are put in one fold.
    fold: column with the fold of each sample; '' for none.
    plate: columns; see Intensity.of.
    metadata: columns that are copied to the index.
    each: pairs (name, values): a row is a sample for each of the values, which
      are a further column of that name.
    join: further tables.
  """
  id: str = 'Id'
  labels: tuple[str, ...] = ()
  form: str = 'numbers'
  separator: str = ' '
  repeated: str = 'merge'
  empty: str = 'refuse'
  single: bool = False
  ignored: tuple[str, ...] = ()
  group: tuple[str, ...] = ()
  fold: str = ''
  plate: tuple[str, ...] = ()
  metadata: tuple[str, ...] = ()
  each: tuple[tuple[str, tuple[str, ...]], ...] = ()
  join: tuple[Join, ...] = ()


@dataclasses.dataclass(frozen=True)
class Images:
  """Where the image files are, and what is in one.

  Attributes:
    pattern: template of the files' names; * stands for any text that only one
      file has there.
    stacked: '' is a file for each channel; one of stack.KINDS is a file with
      all channels, as RGB(A) or as pages of a TIFF.
    axes: as of stack.Stack.
    project: as of stack.Stack.
    pixel_um: size of a pixel in micrometers, or the column that has it; 0 if
      unknown.
  """
  pattern: str = '{id}_{channel}.png'
  stacked: str = ''
  axes: str = ''
  project: str = ''
  pixel_um: float | str = 0.0


@dataclasses.dataclass(frozen=True)
class Intensity:
  """How pixels become 8 bits; see images.intensity.

  Attributes:
    rule: one of intensity.RULES.
    white_level: the intensity that becomes 255, for white_level; 0 refuses
      files of more than 8 bits.
    percentiles: (low, high), which become 0 and 255, for percentiles.
    of: one of intensity.SCOPES, over which percentiles are computed.
  """
  rule: str = 'white_level'
  white_level: int = 0
  percentiles: tuple[float, float] = (0.1, 99.9)
  of: str = 'image'


@dataclasses.dataclass(frozen=True)
class Channel:
  """One channel.

  Attributes:
    name: as of spec.Channel.
    stain: as of spec.Channel.
    color: as of spec.Channel.
    file: what {channel} stands for in the pattern; '' is the name.
    path: template in place of the pattern; '' for none.
    plane: number of the plane or page in a stacked file; -1 is the channel's
      own number.
    white_level: in place of Intensity's; 0 for none.
  """
  name: str
  stain: str = ''
  color: str = '#ffffff'
  file: str = ''
  path: str = ''
  plane: int = -1
  white_level: int = 0


@dataclasses.dataclass(frozen=True)
class Class:
  """A class, and other names that tables have for it."""
  name: str
  aliases: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Description:
  """A dataset; consistency.check says whether its values are valid.

  Attributes:
    name: of the dataset.
    title: what its images are, in a few words.
    table: how rows become samples.
    images: where the image files are.
    intensity: how pixels become 8 bits.
    channels: in stored order.
    classes: in order; () takes all labels of the table, sorted.
  """
  name: str
  channels: tuple[Channel, ...]
  title: str = 'Fluorescence images'
  table: Table = Table()
  images: Images = Images()
  intensity: Intensity = Intensity()
  classes: tuple[Class, ...] = ()

  def spec(self,
           image_size: int,
           encoding: str = spec_lib.ENCODINGS[0],
           classes: tuple[str, ...] | None = None) -> spec_lib.Spec:
    """Returns the spec of a dataset that is stored in this way.

    Args:
      image_size: as of spec.Spec.
      encoding: as of spec.Spec.
      classes: names in place of this description's, as it has none.
    """
    return spec_lib.Spec(
        classes or tuple(each.name for each in self.classes),
        tuple(
            spec_lib.Channel(each.name, each.stain, each.color)
            for each in self.channels), image_size, encoding)

  @property
  def needs_plates(self) -> bool:
    """Whether the intensity rule is of plates."""
    return self.needs_levels and self.intensity.of == 'plate'

  @property
  def needs_levels(self) -> bool:
    """Whether a first pass over the images must find the levels."""
    return (self.intensity.rule == 'percentiles' and
            self.intensity.of != 'image')

  def rule(self) -> intensity_lib.Rule:
    """Returns the rule that makes 8-bit pixels, for all channels."""
    levels = tuple(each.white_level or self.intensity.white_level
                   for each in self.channels)
    return intensity_lib.Rule(self.intensity.rule, levels if all(levels) else
                              (), self.intensity.percentiles, self.intensity.of)

  def how(self,
          size_px: int,
          resize: str = resize_lib.DEFAULT_FILTER,
          stored_um: float = 0) -> how_lib.How:
    """Returns how the files of a sample become one image.

    The levels and the pixel size of a sample's files are not filled in.

    Args:
      size_px: height and width of the image.
      resize: one of resize.RESIZE_FILTERS.
      stored_um: as of how.How.
    """
    return how_lib.How(size_px,
                       tuple(each.name for each in self.channels),
                       tuple(each.color for each in self.channels),
                       resize,
                       self.rule(),
                       stack=self.stack(),
                       stored_um=stored_um)

  def stack(self) -> stack_lib.Stack | None:
    """Returns how the planes of a stacked file are used; None for others."""
    images = self.images
    if not images.stacked:
      return None
    planes = ()
    if any(each.plane >= 0 for each in self.channels):
      planes = tuple(i if each.plane < 0 else each.plane
                     for i, each in enumerate(self.channels))
    return stack_lib.Stack(images.stacked, images.axes, images.project, planes)

  def pattern(self, channel: Channel) -> str:
    """Returns the template of a channel's files, with {channel} filled in."""
    return (channel.path or
            self.images.pattern).replace('{channel}', channel.file or
                                         channel.name)

  def patterns(self) -> tuple[str, ...]:
    """Returns the templates of a sample's files: one a channel, or one."""
    if self.images.stacked:
      return (self.images.pattern,)
    return tuple(map(self.pattern, self.channels))
