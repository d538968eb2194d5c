// Which channel a file is of, by its name.
'use strict';

// Returns { channel, sample }: the index of the channel whose file name this
// is by the description of the dataset, else by its last word that names one
// channel; null if none or several do. sample is what else is in the name.
//   channels: [{ pattern, words }], pattern a regular expression of names
//     without extension or '', words in lower case. A single one has any name.
function matchName(name, channels) {
  if (channels.length === 1) return { channel: 0, sample: name };
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

// Returns the file of each channel, null where none or several are of it.
//   files: [{ name, match }], match as of matchName.
function assign(files, channels) {
  return channels.map((_, i) => {
    const found = findOf(files, i);
    return found.length === 1 ? found[0] : null;
  });
}

function findOf(files, channel) {
  return files.filter(({ match }) => match && match.channel === channel);
}

// Returns whether the names of chosen files are of one image, as far as known.
function areOfOneImage(chosen) {
  return new Set(chosen.filter(({ match }) => match)
    .map(({ match }) => match.sample)).size < 2;
}
