# Prints data/tokenizer/unicode_tables.h: what Hugging Face's tokenizers does with each code point, asked of the library itself.
# Needs its Python package, and unicodedata2, whose Unicode must not be older than that of tokenizers:
#   python3 scripts/checks/unicode_tables.py > data/tokenizer/unicode_tables.h
import unicodedata
from collections.abc import Callable, Iterable

import tokenizers
import unicodedata2
from tokenizers.normalizers import NFD, BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def only(**what: bool) -> Callable[[str], str]:
    """The normalizer with one of its parts."""
    parts = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    normalize: Callable[[str], str] = BertNormalizer(**(parts | what)).normalize_str
    return normalize


clean, strip, lower, nfd = only(clean_text=True), only(strip_accents=True), only(lowercase=True), NFD().normalize_str
words = BertPreTokenizer().pre_tokenize_str


def is_removed(c: int) -> bool:
    return clean("a" + chr(c) + "b") == "ab" and c not in (0, 0xFFFD)


def is_nonspacing(c: int) -> bool:
    return nfd(chr(c)) == chr(c) and strip(chr(c)) == ""


def is_punctuation(c: int) -> bool:
    return len(words("a" + chr(c) + "b")) == 3


def is_later_decomposition(c: int) -> bool:
    return bool(nfd(chr(c)) == chr(c) != unicodedata2.normalize("NFD", chr(c)))


def is_later_mark(c: int) -> bool:
    """Whether it has a combining class that the library's older Unicode does not know: no mark moves past it."""
    order = unicodedata2.combining(chr(c))
    if order == 0 or nfd(chr(c)) != chr(c):
        return False
    text = chr(c) + "\u0334" if order > 1 else "\u0300" + chr(c)  # of classes 1 and 230
    return bool(nfd(text) == text)


def lower_shift(c: int) -> int:
    """To the small letter, where Unicode 14 knows none; 0 if there is no such."""
    small = lower(chr(c))
    return ord(small) - c if len(small) == 1 and small != chr(c) and chr(c).lower() == chr(c) else 0


def ranges(value_of: Callable[[int], int]) -> list[list[int]]:
    """[first, last, value] of neighbours with the same value; those without one are left out."""
    found: list[list[int]] = []
    for c in CODE_POINTS:
        value = value_of(c)
        if value and found and found[-1][1] == c - 1 and found[-1][2] == value:
            found[-1][1] = c
        elif value:
            found.append([c, c, value])
    return found


def table(comment: str, kind: str, name: str, rows: Iterable[list[str]]) -> None:
    print(f"/// {comment}\ninline constexpr {kind} {name}[] = {{")
    line = "   "
    for row in rows:
        entry = " {" + ", ".join(row) + "},"
        if len(line) + len(entry) > 120:
            print(line)
            line = "   "
        line += entry
    print(line + "\n};\n")


def range_table(comment: str, name: str, predicate: Callable[[int], bool]) -> None:
    table(comment, "CodePoints", name, [[f"0x{first:X}", f"0x{last:X}"] for first, last, _ in ranges(predicate)])


assert unicodedata.unidata_version >= "14", "Python's Unicode is older than the oldest that libutf8proc may have"
print(f"""// Made by scripts/checks/unicode_tables.py of tokenizers {tokenizers.__version__}; do not edit. Where Hugging Face's library has
// tables of other versions than libutf8proc: its categories are Unicode 8's, its decompositions Unicode 9's, its small
// letters Unicode 17's.
// clang-format off
#pragma once

#include <cstdint>

namespace dropforge::data::tables {{

struct CodePoints {{
    char32_t first, last;
}};

struct SmallLetters {{
    char32_t first, last;
    int32_t shift;
}};
""")
range_table("Control, format and private use characters, which are dropped.", "kRemoved", is_removed)
range_table("Non-spacing marks, among what has no decomposition.", "kNonspacing", is_nonspacing)
range_table("Punctuation, and the symbols of ASCII.", "kPunctuation", is_punctuation)
range_table("What later versions decompose.", "kNotDecomposed", is_later_decomposition)
range_table("What later versions give a combining class.", "kStarters", is_later_mark)
table("Small letters that Unicode 14 does not have.", "SmallLetters", "kSmallLetters",
      [[f"0x{first:X}", f"0x{last:X}", str(shift)] for first, last, shift in ranges(lower_shift)])
print("}  // namespace dropforge::data::tables")
