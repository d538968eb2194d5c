"""classify.html: opened from disk in a real browser, used as a user does."""

import dataclasses
import re
import shutil
import time

import cv2
import numpy as np
import pytest
from selenium.webdriver.common import action_chains
from selenium.webdriver.common import keys

from hpa_records.conversion import convert
from hpa_records.conversion import shard_plan
from hpa_records.datasets import description
from hpa_records.datasets import layout
from hpa_records.images import load
from hpa_records.runtime import errors
from tests import conftest
from tests.support import browser as browser_lib
from tests.support import fakes
from tests.support import onnxruntime_web
from tests.support import runs
from tests.support import specs
from tests.trainer.export import test_export
from trainer.export import export
from trainer.export import folder as folder_lib
from trainer.export import page
from trainer.export import page_runtime
from trainer.model import model_file
from trainer.model import trained
from trainer.network import activation_map
from trainer.network import build
from trainer.prediction import ensemble
from trainer.report import tile

_SIZE = 40
_HTML = '<img src=x onerror="document.title=1">&amp;'
_WAIT_S = 120


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """A run of one fold with names that are HTML, and its export."""
  runtime = onnxruntime_web.load()
  folder = tmp_path_factory.mktemp('page')
  default = description.default()
  described = dataclasses.replace(
      default,
      title=f'{_HTML} title',
      classes=(layout.Class(_HTML), *default.classes[1:]),
      channels=(dataclasses.replace(default.channels[0],
                                    stain=_HTML), *default.channels[1:]))
  csv, images = fakes.write_source(folder, 24, 50)
  convert.convert(
      csv, images, str(folder / 'records'),
      shard_plan.Settings(image_size=_SIZE, num_folds=2, description=described),
      convert.How(workers=1))
  runs.train_folds(str(folder / 'records'), folder / 'run', 1)
  export.write(str(folder / 'run'), str(folder / 'model'),
               export.Choice(threshold='f1', runtime=runtime))
  return folder


class _User:
  """Who opens the page, and reads it."""

  def __init__(self, browser, path):
    self.browser, self.driver, self._path = browser, browser.driver, path

  def open(self):
    self.browser.open(self._path)
    self.wait('Ready')

  def begin(self):
    """Removes what an earlier test chose."""
    self.driver.execute_script('page.clear(); document.activeElement.blur()')
    self.browser.console()

  def ask(self, script, *values):
    return self.driver.execute_script(f'return {script}', *values)

  def status(self):
    return self.ask('document.getElementById("status").textContent')

  def wait(self, *starts):
    """Waits until the status starts with one of the texts."""
    end = time.monotonic() + _WAIT_S
    while not self.status().startswith(starts):
      assert time.monotonic() < end, self.status()
      time.sleep(0.02)
    return self.status()

  def choose(self, paths):
    """Gives the files to the button; returns the lines of problems."""
    self.driver.execute_script('page.tell("")')
    self.driver.find_element('id', 'files').send_keys('\n'.join(map(str,
                                                                    paths)))
    self.wait('Predicted', 'Waiting', 'Ready')
    return self.problems()

  def drop(self, paths):
    """Drops files on the page; returns the lines of problems."""
    self.driver.execute_script(
        'page.tell(""); document.body.append(Object.assign('
        'document.createElement("input"), '
        '{type: "file", id: "dragged", multiple: true}))')
    dragged = self.driver.find_element('id', 'dragged')
    dragged.send_keys('\n'.join(map(str, paths)))
    self.driver.execute_script(
        'const [from] = arguments; const dataTransfer = new DataTransfer(); '
        'for (const file of from.files) dataTransfer.items.add(file); '
        'from.remove(); document.body.dispatchEvent(new DragEvent("drop", '
        '{bubbles: true, cancelable: true, dataTransfer}))', dragged)
    self.wait('Predicted', 'Waiting', 'Ready')
    return self.problems()

  def problems(self):
    return self.ask('[...document.querySelectorAll("#problems li")].map('
                    'each => each.textContent)')

  def probabilities(self):
    """Returns what the list says, in the order of classes."""
    shown = self.ask(
        '[...document.querySelectorAll("label.class")].map(each => '
        '[each.querySelector("input").value, each.innerText])')
    return np.array([
        float(re.search(r'probability\s*([\d.]+)', text)[1])
        for _, text in sorted(shown, key=lambda each: int(each[0]))
    ])


@pytest.fixture(name='user', scope='module')
def _user(folder):
  browser = browser_lib.start()
  try:
    user = _User(browser, folder / 'model' / 'classify.html')
    user.open()
    yield user
  finally:
    browser.driver.quit()


def _files(folder, sample):
  return [folder / 'train' / f'{sample}_{each}.png' for each in specs.CHANNELS]


def _predict(folder, images):
  return test_export.predict_files(ensemble.load([str(folder / 'run')]),
                                   str(images), 'dihedral')


def test_the_page_gives_the_probabilities_of_predict(folder, user):
  wanted = _predict(folder, folder / 'train')
  assert np.ptp(wanted, axis=0).max() > 0.02
  user.begin()
  for sample in ('s0', 's7'):
    assert user.drop(_files(folder, sample)[::-1]) == []
    np.testing.assert_allclose(user.probabilities(),
                               wanted.loc[sample],
                               atol=1e-3)
    cuts = model_file.load(str(folder / 'model')).threshold
    shown = user.ask('[...document.querySelectorAll(".predicted input")].map('
                     'each => Number(each.value))')
    assert set(shown) == set(np.flatnonzero(wanted.loc[sample] > cuts))


def test_real_files_get_the_probabilities_of_predict(folder, user, tmp_path):
  fields = conftest.find_shared_data() / 'hpa' / 'fields'
  names = [
      each.name.removesuffix('_red.png')
      for each in sorted(fields.glob('*_red.png'))[::60]
  ]
  assert len(names) >= 5
  images = tmp_path / 'images'
  images.mkdir()
  paths = {
      name: [fields / f'{name}_{each}.png' for each in specs.CHANNELS]
      for name in names
  }
  for each in sum(paths.values(), []):
    shutil.copy(each, images)
  wanted = _predict(folder, images)
  user.begin()
  for name in names:
    assert user.drop(paths[name]) == []
    np.testing.assert_allclose(user.probabilities(),
                               wanted.loc[name],
                               atol=0.01)
  jpegs = []
  for path in paths[names[0]]:
    jpegs.append(tmp_path / path.with_suffix('.jpg').name)
    cv2.imwrite(str(jpegs[-1]), cv2.imread(str(path), cv2.IMREAD_UNCHANGED),
                [cv2.IMWRITE_JPEG_QUALITY, 95])
  assert user.choose(jpegs) == []
  jpeg_images = tmp_path / 'jpegs'
  jpeg_images.mkdir()
  for path in jpegs:  # as pixels that the converter decodes
    cv2.imwrite(str(jpeg_images / path.with_suffix('.png').name),
                cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
  np.testing.assert_allclose(user.probabilities(),
                             _predict(folder, jpeg_images).loc[names[0]],
                             atol=0.01)


def test_one_file_with_all_channels(folder, user, tmp_path):
  user.begin()
  user.choose(_files(folder, 's3'))
  wanted = user.probabilities()
  red, green, blue, yellow = (cv2.imread(str(each), cv2.IMREAD_UNCHANGED)
                              for each in _files(folder, 's3'))
  path = tmp_path / 'all.png'
  cv2.imwrite(str(path), cv2.merge([blue, green, red, yellow]))
  assert user.choose([path]) == []
  np.testing.assert_allclose(user.probabilities(), wanted, atol=1e-3)
  assert 'all.png has all channels' in user.ask('document.body.innerText')


def test_files_of_other_names_are_chosen_by_the_user(folder, user, tmp_path):
  user.begin()
  user.choose(_files(folder, 's5'))
  wanted = user.probabilities()
  paths = []
  for i, each in enumerate(_files(folder, 's5')):
    paths.append(tmp_path / f'IMG_{i}.png')
    shutil.copy(each, paths[-1])
  problem, = user.drop(paths)
  assert 'red, green, blue, yellow have none yet' in problem
  assert not user.driver.find_element('id', 'results').is_displayed()
  for i in range(4):
    select = user.driver.find_element('id', f'file{i}')
    select.send_keys(f'IMG_{i}')
  user.wait('Predicted')
  assert user.problems() == []
  np.testing.assert_allclose(user.probabilities(), wanted, atol=1e-3)


def _make_wrong(folder, tmp_path):
  """Returns (files, expected line) of each kind of wrong set."""
  good = _files(folder, 's1')

  def write(name, data):
    (tmp_path / name).write_bytes(data)
    return tmp_path / name

  def copy(source, name):
    return write(name, source.read_bytes())

  deep = cv2.imencode('.png', np.zeros((50, 50), np.uint16))[1].tobytes()
  small = cv2.imencode('.png', np.zeros((40, 50), np.uint8))[1].tobytes()
  two_planes = cv2.imencode('.png', np.zeros((9, 9, 3), np.uint8))[1].tobytes()
  return [
      ([write('a_red.png', b'text')], 'a_red.png: Expected an 8-bit PNG or JPE'
       'G, received a file that is no image.'),
      ([write('b_red.png', b'')], 'b_red.png: .*received an empty file'),
      ([write('c_red.png', b'<html><p>404')], 'c_red.png: .*a web page'),
      ([write('d_red.png', deep)], 'd_red.png: .*a PNG of 16-bit gray; save'),
      (good[:3], '4 files, one for each.*, received 3; yellow has none'),
      ([*good, copy(good[0], 's1_2_red.png')],
       'one file for each channel, received s1_red.png and s1_2_red.png'),
      ([*good[1:],
        write('s1_red.png',
              small)], 's1_red.png of 50 × 40.*s1_green.png of 50 × 50'),
      ([write('all.png', two_planes)], 'Expected 4 files'),
      ([*good[1:], copy(good[0],
                        'other_red.png')], 'different images: other_r'),
      ([*good, copy(good[0], 'notes.png')], 'Not used: notes.png'),
  ]


def test_each_kind_of_wrong_set_gets_a_line(folder, user, tmp_path):
  user.begin()
  for files, line in _make_wrong(folder, tmp_path):
    problems = user.drop(files)
    assert len(problems) == 1 and re.search(line, problems[0]), problems
    is_wrong = not line.startswith(('Not used', 'different'))
    shown = user.driver.find_element('id', 'results').is_displayed()
    assert shown != is_wrong
    user.driver.execute_script('page.clear()')
  assert user.drop(_files(folder, 's1')) == []


def test_a_file_is_added_to_those_that_wait_and_replaces_one(
    folder, user, tmp_path):
  user.begin()
  files = _files(folder, 's2')
  assert len(user.drop(files[:2])) == 1
  assert user.drop(files[2:]) == []
  first = user.probabilities()
  assert user.drop(_files(folder, 's4')) == []  # the next image
  assert np.abs(user.probabilities() - first).max() > 1e-3
  assert user.drop([tmp_path]) != []  # a folder
  assert user.drop(files) == []
  np.testing.assert_allclose(user.probabilities(), first, atol=1e-3)


def test_what_is_stopped_shows_nothing(folder, user):
  user.begin()
  user.drop(_files(folder, 's1'))
  user.driver.execute_script('page.classify(); page.clear()')
  assert user.drop([folder / 'train.csv']) != []  # behind it in the queue
  assert user.status() == 'Ready.'
  assert not user.driver.find_element('id', 'results').is_displayed()
  assert user.ask('document.getElementById("progress").hidden')


def test_it_asks_for_nothing_and_may_not(folder, user):
  user.browser.requests()
  user.open()
  user.drop(_files(folder, 's1'))
  asked = user.browser.requests()
  assert asked[0].startswith('file:///') and asked[0].endswith('classify.html')
  assert all(each.startswith(('blob:', 'data:')) for each in asked[1:]), asked
  assert user.browser.console() == []
  refused = user.driver.execute_async_script('''
    const done = arguments[0];
    document.addEventListener('securitypolicyviolation',
      event => done(event.effectiveDirective));
    fetch('http://127.0.0.1:9/').catch(() => {});''')
  assert refused == 'connect-src'


def test_names_that_are_html_are_text(folder, user):
  user.begin()
  user.drop(_files(folder, 's1'))
  assert user.ask('document.querySelectorAll("img").length') == 0
  assert user.ask('document.title') == f'Classify an image: {_HTML} title'
  text = user.ask('document.body.innerText')
  assert text.count(_HTML) >= 3
  user.driver.find_element('css selector', 'input[value="0"]').click()
  assert user.ask('document.getElementById("maps-title").textContent'
                 ) == f'Where the network looked for: {_HTML}'
  assert user.browser.console() == []


def _press(user, *pressed):
  action_chains.ActionChains(user.driver).send_keys(*pressed).perform()


def test_the_keyboard_alone_reaches_all(folder, user):
  user.open()
  user.driver.find_element('id', 'files').send_keys('\n'.join(
      map(str, _files(folder, 's1'))))  # as its dialog does
  user.wait('Predicted')
  assert user.ask('document.activeElement.tagName') == 'BODY'
  seen = []
  for _ in range(20):
    _press(user, keys.Keys.TAB)
    seen.append(
        user.ask('[document.activeElement.id || document.activeElement.tagName,'
                 ' getComputedStyle(document.activeElement.closest("label") || '
                 'document.activeElement).outlineStyle]'))
    if seen[-1][0] == 'SUMMARY':
      break
  assert [each for each, _ in seen] == [
      'files', 'file0', 'file1', 'file2', 'file3', 'clear', 'INPUT', 'SUMMARY'
  ]
  assert {outline for _, outline in seen} == {'solid'}
  _press(user, keys.Keys.SPACE)
  assert 'Microsoft Corporation' in user.ask('document.body.innerText')
  action_chains.ActionChains(user.driver).key_down(keys.Keys.SHIFT).send_keys(
      keys.Keys.TAB).key_up(keys.Keys.SHIFT).perform()
  title = 'document.getElementById("maps-title").textContent'
  before, maps = user.ask(title), user.ask(_MAPS)
  _press(user, keys.Keys.ARROW_DOWN)
  assert user.ask(title) != before and user.ask(_MAPS) != maps


_MAPS = ('[...document.querySelectorAll("#maps canvas")].map(each => '
         'each.toDataURL())')


def test_the_maps_are_those_of_the_report(folder, user):
  run = trained.load(str(folder / 'run'))
  about = run.folds[0].about
  network = build.build(run.config, run.spec, about['pixels'], fast=False)
  for variable, value in zip(
      network.variables, trained.load_weights(run, run.folds[0], 'last',
                                              network)):
    variable.assign(value)
  paths = [str(each) for each in _files(folder, 's1')]
  how = description.default().how(_SIZE)
  image = load.load(paths, how)
  user.begin()
  user.drop(paths)
  chosen = user.ask('Number(document.querySelector("#list :checked").value)')
  maps = activation_map.compute(network, image[np.newaxis], np.array([chosen]))
  wanted = tile.strip(image, [each[0] for each in maps], run.spec)
  pictures = user.ask(
      '[...document.querySelectorAll("#pictures canvas, #maps canvas")].map('
      'each => [...each.getContext("2d").getImageData(0, 0, each.width, '
      'each.height).data])')
  composite, *rest = (
      np.reshape(each, [_SIZE, _SIZE, 4])[..., :3] for each in pictures)
  gap = np.full([_SIZE, 4, 3], 255)
  order = [*rest[:4], composite, *rest[4:]]
  shown = np.hstack([part for each in order for part in (each, gap)])[:, :-4]
  assert len(maps) == 3
  assert np.abs(shown - wanted.astype(int)).max() <= 2


def test_a_screen_reader_gets_names_and_news(folder, user):
  user.begin()
  user.drop(_files(folder, 's1'))
  tree = user.driver.execute_cdp_cmd('Accessibility.getFullAXTree', {})['nodes']
  named = {'radio', 'combobox', 'button', 'image', 'radiogroup', 'heading'}
  found = [(each['role']['value'], each['name']['value'])
           for each in tree
           if not each['ignored'] and each['role']['value'] in named]
  assert {role for role, _ in found} == named
  assert all(name.strip() for _, name in found), found
  assert ('combobox', 'red') in found
  assert any(
      role == 'radio' and
      re.fullmatch(r'Nucleoli probability \d\.\d+ threshold \d\.\d+', name)
      for role, name in found), found
  roles = {
      each: user.driver.find_element('id', each).get_attribute('role')
      for each in ('status', 'problems')
  }
  assert roles == {'status': 'status', 'problems': 'alert'}


_CONTRAST = '''
const parse = text => text.match(/[\\d.]+/g).map(Number);
const light = color => color.slice(0, 3).map(each => each / 255).map(each =>
  each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4)
  .reduce((sum, each, i) => sum + each * [.2126, .7152, .0722][i], 0);
const below = element => {
  const color = parse(getComputedStyle(element).backgroundColor);
  return color[3] === 0 ? below(element.parentElement) : color;
};
return [...document.querySelectorAll('body *')].filter(each =>
  each.checkVisibility() && [...each.childNodes].some(part =>
    part.nodeType === 3 && part.textContent.trim())).map(each => {
  const pair = [light(parse(getComputedStyle(each).color)), light(below(each))];
  return [(Math.max(...pair) + .05) / (Math.min(...pair) + .05), each.outerHTML];
});
'''


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_text_has_contrast(folder, user, scheme):
  # Source: WCAG 2.2, 1.4.3: 4.5 at the least.
  user.driver.execute_cdp_cmd(
      'Emulation.setEmulatedMedia',
      {'features': [{
          'name': 'prefers-color-scheme',
          'value': scheme
      }]})
  user.begin()
  user.drop([*_files(folder, 's1'), folder / 'train.csv'])  # with a problem
  found = user.driver.execute_script(_CONTRAST)
  assert len(found) > 100
  assert min(found)[0] >= 4.5, min(found)
  page_light = user.ask('getComputedStyle(document.body).backgroundColor')
  assert (page_light == 'rgb(246, 247, 247)') == (scheme == 'light')


def test_it_is_readable_on_a_phone(folder, user):
  width = 'document.documentElement.scrollWidth'
  user.begin()
  user.driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {
      'width': 360,
      'height': 640,
      'deviceScaleFactor': 1,
      'mobile': True
  })
  assert user.ask(width) == 360
  user.drop(_files(folder, 's1'))
  assert user.ask(width) == 360
  assert user.ask('Math.min(...[...document.querySelectorAll(".name")].map('
                  'each => each.clientWidth))') > 100


def test_the_folder_lists_the_page_and_predicts_with_it(folder, tmp_path):
  found = ensemble.load_exported(str(folder / 'model'))
  exported = model_file.load(str(folder / 'model'))
  assert exported.locate('classify.html')
  folder_lib.refuse(str(folder / 'model'), overwrite=True)
  assert '`classify.html` opens in' in (folder / 'model/README.md').read_text()
  made = test_export.predict_files(found, str(folder / 'train'), 'dihedral')
  np.testing.assert_allclose(made,
                             _predict(folder, folder / 'train'),
                             atol=1e-5)
  shutil.copytree(folder / 'model', tmp_path / 'model')
  with open(tmp_path / 'model' / 'classify.html', 'ab') as file:
    file.write(b' ')
  with pytest.raises(errors.DataError, match='was changed since the export'):
    model_file.load(str(tmp_path / 'model')).locate('classify.html')


def test_the_picture_of_the_page(folder, tmp_path):
  path = tmp_path / 'page.webp'
  done = runs.call('tools/docs/make_page_picture.py',
                   f'--page={folder / "model" / "classify.html"}',
                   f'--image={folder / "train" / "s1"}', f'--output={path}')
  assert (done.returncode, done.stdout) == (0, f'{path}\n'), done.stderr
  picture = cv2.imread(str(path))
  assert picture.shape == (1120, 1200, 3)
  assert picture[500:, 650:].std() > 30  # the pictures of the image


def test_five_folds_fit_and_many_are_refused(folder):
  run = trained.load(str(folder / 'run'))
  networks = export.load_networks(run, 'last')
  text = (folder / 'model' / 'classify.html').read_text('utf-8')
  model = len(re.search('id="model">(.*?)</script>', text)[1])
  assert len(text) + model * 4 < page.MOST_BYTES
  with pytest.raises(errors.DataError, match='too large for --page.* 25 MB: '):
    page.render(run,
                networks * 12,
                described=description.default(),
                tta='dihedral',
                threshold=0.5,
                runtime=onnxruntime_web.load())


def test_a_page_that_would_read_images_otherwise_is_refused():
  percentiles = description.load('hpa2018', ['intensity.rule="percentiles"'])
  with pytest.raises(errors.DataError, match='were scaled by percentiles'):
    page.check(percentiles, 0)
  with pytest.raises(errors.DataError, match='one pixel size'):
    page.check(description.default(), 0.1)


def test_the_command_says_what_a_page_needs(folder, tmp_path):
  flags = (f'--workdir={folder / "run"}', f'--output={tmp_path / "model"}',
           f'--page_runtime={tmp_path / "empty"}')
  done = runs.call('tools/export.py', *flags)
  assert (done.returncode, done.stderr.count('\n')) == (2, 1)
  assert '--page_runtime is for --page' in done.stderr
  (tmp_path / 'empty').mkdir()
  (tmp_path / 'empty' / page_runtime.NAME).touch()
  done = runs.call('tools/export.py', '--page', *flags)
  assert (done.returncode, done.stderr.count('\n')) == (2, 1)
  assert 'is not the published onnxruntime-web' in done.stderr
  assert not (tmp_path / 'model').exists()
