// Requests of the page to its worker.
'use strict';

class Engine {
  // tell(part) is called while the networks run, with the part that is done.
  constructor(source, tell) {
    this.pending = new Map();
    this.count = 0;
    const blob = new Blob([source], { type: 'text/javascript' });
    this.worker = new Worker(URL.createObjectURL(blob));
    this.worker.onmessage = ({ data }) => {
      if ('progress' in data) tell(data.progress);
      else this.settle(data);
    };
    this.worker.onerror = event => this.fail(event.message);
  }

  // Returns the value of an action of worker.js.
  request(action, values) {
    const number = ++this.count;
    this.worker.postMessage({ number, action, values });
    return new Promise((resolve, reject) => {
      this.pending.set(number, { resolve, reject });
    });
  }

  settle({ number, value, error }) {
    const { resolve, reject } = this.pending.get(number);
    this.pending.delete(number);
    if (error === undefined) resolve(value);
    else reject(new Error(error));
  }

  fail(message) {
    for (const { reject } of this.pending.values()) reject(new Error(message));
    this.pending.clear();
  }
}
