// The page: files in, results out.
'use strict';

class Page {
  constructor(settings) {
    this.settings = settings;
    this.results = new Results(settings);
    this.files = [];  // { name, match, width, height, planes }
    this.chosen = [];  // of these one for each channel, or one with all
    this.isStack = false;  // whether it is one with all
    this.isDone = false;  // whether the chosen ones were classified
    this.running = null;  // what classify works on
    this.listen();
  }

  listen() {
    byId('files').addEventListener('change', ({ target }) => {
      this.add([...target.files]);
      target.value = '';
    });
    byId('clear').addEventListener('click', () => {
      this.clear();
      this.tell('Ready.');
      byId('files').focus();
    });
    const drop = document.querySelector('.drop');
    for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
      document.addEventListener(kind, event => {
        event.preventDefault();
        drop.classList.toggle('over', kind.startsWith('drag') &&
          kind !== 'dragleave');
        if (kind === 'drop') this.add([...event.dataTransfer.files]);
      });
    }
    for (const each of document.querySelectorAll('[data-color]')) {
      each.style.background = each.dataset.color;
    }
  }

  // Unpacks the runtime, starts the worker and has it load the networks.
  async start() {
    const read = id => byId(id).textContent;
    const packed = Uint8Array.from(atob(read('runtime')),
      each => each.charCodeAt(0));
    const stream = new Blob([packed]).stream()
      .pipeThrough(new DecompressionStream('gzip'));
    const source = `${await new Response(stream).text()}\n${read('worker')}`;
    this.engine = new Engine(source, part => this.showProgress(part));
    await this.engine.request('open', {
      settings: this.settings, glue: read('glue'), wasm: read('wasm'),
      model: read('model'),
    });
    this.tell('Ready.');
  }

  tell(text) {
    byId('status').textContent = text;
    byId('progress').hidden = true;
  }

  showProgress(part) {
    const progress = byId('progress');
    if (!this.running) return;  // stopped meanwhile
    if (progress.hidden) this.tell('Computing…');  // said once
    progress.hidden = false;
    progress.value = part;
  }

  complain(lines) {
    byId('problems').replaceChildren(
      ...lines.map(each => make('li', {}, [each])));
  }

  clear() {
    this.files = [];
    this.chosen = [];
    this.isStack = false;
    this.isDone = false;
    this.complain([]);
    this.stop();
    this.showRows();
  }

  // Takes further files, or those of the next image.
  async add(files) {
    if (!files.length) return;
    await this.ready;
    this.tell(`Reading ${files.length === 1 ? 'the file' :
      `${files.length} files`}…`);
    const { channels } = this.settings;
    const [added, lines] = [[], []];
    for (const file of files) {
      const { name } = file;
      try {
        const found = await this.engine.request('read', { file });
        added.push({ ...found, name, match: matchName(name, channels) });
      } catch (error) {
        lines.push(`${name}: ${error.message}`);
      }
    }
    if (this.isDone || !assign(added, channels).includes(null)) {
      this.clear();
    }
    const names = added.map(each => each.name);
    this.files = this.files.filter(each => !names.includes(each.name))
      .concat(added);
    this.assign(lines);
  }

  assign(lines) {
    this.isStack = this.files.length === 1 && this.hasAll(this.files[0]);
    this.chosen = this.isStack ?
      this.files : assign(this.files, this.settings.channels);
    this.showRows();
    this.check(lines);
  }

  // Whether a file has the planes of all channels.
  hasAll({ match, planes }) {
    const { stacked, channels, isStacked, isExact } = this.settings;
    if (!stacked || match && !isStacked) return false;
    return isExact ? planes.length === channels.length :
      planes.length > Math.max(...stacked);
  }

  showRows() {
    byId('clear').hidden = !this.files.length;
    document.querySelector('.drop').classList
      .toggle('small', this.files.length > 0);
    const { channels } = this.settings;
    let rows = [];
    if (this.isStack) {
      rows = [`${this.chosen[0].name} has all channels.`];
    } else if (this.files.length) {
      rows = channels.map((channel, i) => this.makeRow(channel, i));
    }
    byId('rows').replaceChildren(...rows);
  }

  makeRow({ name, color }, i) {
    const swatch = make('span', { class: 'swatch' });
    swatch.style.background = color;
    const options = this.files.map((each, j) =>
      make('option', { value: j }, [each.name]));
    const select = make('select', { id: `file${i}` },
      [make('option', { value: '' }, ['choose its file']), ...options]);
    select.value = this.chosen[i] ? this.files.indexOf(this.chosen[i]) : '';
    select.addEventListener('change', () => {
      this.chosen[i] = this.files[select.value] || null;
      this.check([]);
    });
    return make('div', { class: 'row' }, [
      make('label', { for: select.id }, [swatch, name]), select]);
  }

  // Classifies what is chosen, or says why it cannot. Lines are of files that
  // could not be read.
  check(lines) {
    const isWhole = this.chosen.length && !this.chosen.includes(null);
    const isReady = isWhole && !this.hasTwoSizes();
    if (!lines.length) lines = isReady ? this.findNotes() : this.findProblems();
    this.complain(lines);
    if (isReady) {
      this.classify();
    } else {
      this.stop();
      this.tell(this.files.length ? 'Waiting for files.' : 'Ready.');
    }
  }

  // Returns what keeps the files from being classified, in one line.
  findProblems() {
    const { channels, stacked } = this.settings;
    const missing = channels.filter((_, i) => this.chosen[i] === null);
    const double = missing.map(each =>
      findOf(this.files, channels.indexOf(each)))
      .find(each => each.length > 1);
    if (double) {
      return ['Expected one file for each channel, received ' +
        `${double.map(each => each.name).join(' and ')}; choose one below.`];
    }
    if (missing.length) {
      return [`Expected ${channels.length} files, one for each channel` +
        `${stacked ? ', or one with all' : ''}, received ` +
        `${this.files.length}; ` +
        `${missing.map(each => each.name).join(', ')} ` +
        `${missing.length === 1 ? 'has' : 'have'} none yet.`];
    }
    return ['Expected files of one size, received ' + this.chosen
      .map(each => `${each.name} of ${each.width} × ${each.height}`)
      .join(', ') + ' pixels.'];
  }

  findNotes() {
    const lines = [];
    const unused = this.files.filter(each => !this.chosen.includes(each));
    if (unused.length) {
      lines.push(`Not used: ${unused.map(each => each.name).join(', ')}.`);
    }
    if (!areOfOneImage(this.chosen)) {
      lines.push('The names of these files are of different images: ' +
        `${this.chosen.map(each => each.name).join(', ')}.`);
    }
    return lines;
  }

  hasTwoSizes() {
    const sizes = this.chosen.map(each => `${each.width} ${each.height}`);
    return new Set(sizes).size > 1;
  }

  // Removes results, and those that are still computed.
  stop() {
    if (this.running) this.engine.request('stop');
    this.running = null;
    this.results.hide();
  }

  async classify() {
    this.isDone = true;
    const mine = this.running = {};
    const [first] = this.chosen;
    const images = !this.isStack ? this.chosen : this.settings.stacked
      .map(i => ({ ...first, planes: [first.planes[i]] }));
    this.showProgress(0);
    try {
      const found = await this.engine.request('classify', { images });
      if (this.running !== mine) return;
      this.running = null;
      this.tell(this.results.show(found));
    } catch (error) {
      if (this.running !== mine) return;
      this.stop();
      this.complain([error.message]);
      this.tell('Ready.');
    }
  }
}

const page = new Page(JSON.parse(byId('settings').textContent));
page.ready = page.start();
page.ready.catch(error => page.complain(
  [`This browser cannot run the networks (${error.message}); update it.`]));
