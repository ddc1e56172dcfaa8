"""Languages of sound tracks: what containers write (ISO 639-2) as what playlists want (RFC 5646, shortest form)."""

from __future__ import annotations

# The bibliographic and terminological codes that have a two-letter form and turn up in films.
TWO_LETTERS = {
    code: short
    for short, codes in {
        "ar": "ara", "bg": "bul", "ca": "cat", "cs": "cze ces", "da": "dan", "de": "ger deu", "el": "gre ell",
        "en": "eng", "es": "spa", "et": "est", "eu": "baq eus", "fa": "per fas", "fi": "fin", "fr": "fre fra",
        "ga": "gle", "gl": "glg", "he": "heb", "hi": "hin", "hr": "hrv", "hu": "hun", "hy": "arm hye", "id": "ind",
        "is": "ice isl", "it": "ita", "ja": "jpn", "ka": "geo kat", "ko": "kor", "lt": "lit", "lv": "lav",
        "mk": "mac mkd", "ms": "may msa", "nb": "nob", "nl": "dut nld", "nn": "nno", "no": "nor", "pl": "pol",
        "pt": "por", "ro": "rum ron", "ru": "rus", "sk": "slo slk", "sl": "slv", "sq": "alb sqi", "sr": "srp",
        "sv": "swe", "ta": "tam", "te": "tel", "th": "tha", "tr": "tur", "uk": "ukr", "ur": "urd", "vi": "vie",
        "zh": "chi zho",
    }.items()
    for code in codes.split()
}  # fmt: skip
UNKNOWN = ("und", "mis", "mul", "zxx")


def language_tag(code: str | None) -> str | None:
    """None for no language, an unknown one, or something that is no language code."""
    if code is None:
        return None
    code = code.strip().lower()
    if code in UNKNOWN or not code.isalpha() or not 2 <= len(code) <= 3:
        return None
    return TWO_LETTERS.get(code, code)
