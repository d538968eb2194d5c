// Which channel a file is of, by its name.
'use strict';

// Returns { channel, sample }: the index of the channel whose file name this
// is by the description of the dataset, else by its last word that names one
// channel; null if none or several do. sample is what else is in the name.
//   channels: [{ pattern, words }], pattern a regular expression of names
//     without extension or '', words in lower case.
function matchName(name, channels) {
  const stem = name.replace(/\.[^.]*$/, '');
  const found = channels.flatMap(({ pattern }, channel) => {
    const match = pattern && stem.match(new RegExp(pattern, 'i'));
    return match ? [{ channel, sample: match.slice(1).join(' ') }] : [];
  });
  if (found.length === 1) return found[0];
  return matchWord(stem, channels);
}

function matchWord(stem, channels) {
  const words = stem.toLowerCase().split(/[^\p{L}\p{N}]+/u);
  for (const word of words.reverse()) {
    const named = channels.filter(each => each.words.includes(word));
    if (named.length > 1) return null;
    if (named.length) {
      const at = stem.toLowerCase().lastIndexOf(word);
      return {
        channel: channels.indexOf(named[0]),
        sample: stem.slice(0, at) + stem.slice(at + word.length),
      };
    }
  }
  return null;
}

// Returns the file of each channel, null where there is none, and lines that
// say what is wrong.
//   files: [{ name, match }], match as of matchName.
function assign(files, channels) {
  const lines = [];
  const chosen = channels.map(({ name }, i) => {
    const found = files.filter(({ match }) => match && match.channel === i);
    if (found.length < 2) return found[0] || null;
    lines.push(`Expected one file for the channel ${name}, received ` +
      `${found.map(each => each.name).join(' and ')}; choose one below.`);
    return null;
  });
  const samples = new Set(chosen.map(each => each && each.match.sample));
  if (!samples.has(null) && samples.size > 1) {
    lines.push('The names of these files are of different images: ' +
      `${chosen.map(each => each.name).join(', ')}.`);
  }
  return { chosen, lines };
}
