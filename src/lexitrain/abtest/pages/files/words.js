// What has changed from one sentence to the other, word by word: the longest common subsequence of their words.

const WORD = /[\p{L}\p{M}\p{N}'’-]+\s*|[^\s\p{L}\p{M}\p{N}]\s*|\s+/gu;

/** Runs of words as [kind, text], kind being "same", "gone" or "new". */
export function changes(before, after) {
  const a = before.match(WORD) ?? [];
  const b = after.match(WORD) ?? [];
  const plain = (word) => word.trim();
  // common[i][j]: words that a from i on and b from j on have in common
  const width = b.length + 1;
  const common = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const place = i * width + j;
      common[place] = plain(a[i]) === plain(b[j])
        ? common[place + width + 1] + 1
        : Math.max(common[place + width], common[place + 1]);
    }
  }
  const found = [];
  const add = (kind, text) => {
    const last = found[found.length - 1];
    if (last && last[0] === kind) last[1] += text;
    else found.push([kind, text]);
  };
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && plain(a[i]) === plain(b[j])) {
      add("same", b[j]);
      i++;
      j++;
    } else if (j >= b.length || (i < a.length && common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      add("gone", a[i++]);
    } else {
      add("new", b[j++]);
    }
  }
  return found;
}
