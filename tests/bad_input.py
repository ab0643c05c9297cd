"""A corpus of raw files: good pixels in every dress, and bad files of every kind."""

import gzip
import io
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Case:
    """What has to become of a frame.

    Parameters
    ----------
    status : str
        Its status in the ledger; "same" if it is stacked with the metrics of the frame that it was
        made from.
    cause : str
        What its reasons have to contain.
    """

    status: str
    cause: str = ""


SAME = Case("same")
STACKED = Case("stacked")
SHALLOW = Case("rejected", "a picture of 8 bits among raw frames")

GOOD_HEADER = {
    "EXPTIME": 60.0,
    "CCD-TEMP": -10.0,
    "EGAIN": 1.5,
    "XBINNING": 1,
    "YBINNING": 1,
    "DATE-OBS": "2026-03-01T21:00:00",
}


def good_header(**cards: Any) -> fits.Header:
    """Cards as a camera writes them."""
    return fits.Header(list({**GOOD_HEADER, **cards}.items()))


def fits_bytes(*hdus: Any) -> bytes:
    """Content of a FITS file."""
    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


def plain_fits(pixels: NDArray[Any], header: fits.Header | None = None) -> bytes:
    """Content of a FITS file with one image."""
    return fits_bytes(fits.PrimaryHDU(pixels, good_header() if header is None else header))


def scaled_fits(raw: NDArray[Any], *cards: str) -> bytes:
    """Content of a FITS file whose cards are exactly these, legal or not."""
    bitpix = {"i2": 16, "i4": 32, "f4": -32}[raw.dtype.str[1:]]
    layout = [f"SIMPLE  = {'T':>20}", f"BITPIX  = {bitpix:>20}", f"NAXIS   = {raw.ndim:>20}"]
    layout += [f"NAXIS{i + 1}  = {n:>20}" for i, n in enumerate(raw.shape[::-1])]
    content = header_bytes(*layout, *cards)
    data = raw.astype(raw.dtype.newbyteorder(">")).tobytes()
    return content + data + bytes(-len(data) % 2880)


def header_bytes(*cards: str) -> bytes:
    """Encode a FITS header whose cards are exactly these, legal or not."""
    content = b"".join(card.encode("latin-1").ljust(80)[:80] for card in [*cards, "END"])
    return content.ljust(-(-len(content) // 2880) * 2880)


def compressed_fits(pixels: NDArray[Any], kind: str) -> bytes:
    """Content of a tile-compressed FITS file."""
    header = good_header()
    return fits_bytes(fits.PrimaryHDU(), fits.CompImageHDU(pixels, header, compression_type=kind))


def picture(pixels: NDArray[Any], kind: str, mode: str | None = None, **options: Any) -> bytes:
    """Content of a file that Pillow writes."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if mode == "P":
        image = image.quantize(256)
    elif mode is not None:
        image = image.convert(mode)
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(*pages: NDArray[Any], **options: Any) -> bytes:
    """Content of a TIFF file."""
    file = io.BytesIO()
    with tifffile.TiffWriter(file, bigtiff=options.pop("bigtiff", False)) as writer:
        for page in pages:
            writer.write(page, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Encode one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_size(width: int, height: int, *, bits: int = 8) -> bytes:
    """Content of a PNG that has a header of any size and next to no pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(kind, data) for kind, data in chunks)


def jpeg_of_size(width: int, height: int) -> bytes:
    """Content of a progressive JPEG that has a header of any size and next to no pixels."""
    content = picture(np.zeros((8, 8, 3), np.uint8), "JPEG", progressive=True)
    at = content.index(b"\xff\xc2") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def tiff_of_size(width: int, height: int, **options: Any) -> bytes:
    """Content of a TIFF that has a header of any size and next to no pixels."""
    content = bytearray(tiff(np.zeros((16, 16), np.uint16), **options))
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        for code, value in ((256, width), (257, height), (278, height), (322, width)):
            tag = file.pages.first.tags.get(code)
            if tag is not None:
                kind, size = {3: ("<H", 2), 4: ("<I", 4)}[int(tag.dtype)]
                struct.pack_into(kind, content, tag.valueoffset, min(value, 256**size - 1))
    return bytes(content)


def fits_of_size(bitpix: int, *sides: int, extra: tuple[str, ...] = ()) -> bytes:
    """Content of a FITS file that has a header of any size and next to no pixels."""
    axes = [f"NAXIS{i + 1}  = {side:>20}" for i, side in enumerate(sides)]
    return (
        header_bytes(
            f"SIMPLE  = {'T':>20}",
            f"BITPIX  = {bitpix:>20}",
            f"NAXIS   = {len(sides):>20}",
            *axes,
            *extra,
        )
        + b"\1" * 2880
    )


def edited(content: bytes, *changes: tuple[str, object]) -> bytes:
    """Change the values of integer cards of a FITS file in place."""
    for key, value in changes:
        at = content.rindex(f"{key:<8}= ".encode())
        content = content[:at] + f"{key:<8}= {value:>20}".encode() + content[at + 30 :]
    return content


def with_flipped_bit(content: bytes, at: int) -> bytes:
    """Change one bit."""
    changed = bytearray(content)
    changed[at] ^= 1
    return bytes(changed)


def gzip_bomb(megabytes: int, start: bytes = b"") -> bytes:
    """Compress many megabytes of zeros after something else."""
    packer, zeros = zlib.compressobj(9, wbits=-15), bytes(1 << 20)
    # After a full flush no byte depends on what was before: the same zeros have the same bytes.
    begun = packer.compress(start) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(start)
    for _ in range(megabytes):
        checksum = zlib.crc32(zeros, checksum)
    end = struct.pack("<II", checksum, len(start) + megabytes * len(zeros))
    return b"\x1f\x8b\x08" + bytes(7) + begun + packed * megabytes + packer.flush() + end


HOSTILE_CARDS = (
    "FAILURE = 'this camera has failed'",
    "HIERARCH FAILURE = 'again'",
    "RAWSHA  = 'not a digest'",
    "DARK    =                    7",
    "MASTER  =                    7",
    "BKGADU  = 'bright'",
    "NOISEADU=                  0.0",
    "NCOMBINE= 'many'",
    "SATURATE=                    T",
    "NX      =                   -1",
    "HIERARCH ESO DET CHIP1 NAME with blanks = 'long and nested' / comment",
    "HIERARCH lower case key = 3",
    "LONGSTRN= 'OGIP 1.0'",
    "STORY   = 'a text that goes on beyond the end of its card and on and on and on&'",
    "CONTINUE  'and on&'",
    "CONTINUE  'and ends'",
    "CONTINUE  'without a beginning'",
    "OPEN    = 'never closed",
    "NOVALUE =",
    "UNDEF   =                      / undefined",
    "NANVALUE=                  NaN",
    "INFVALUE=                1e999",
    "HUGEINT = 99999999999999999999999999999999999999999999999999999999999999",
    "COMPLEX = (1.0, nonsense)",
    "TWICE   =                    1",
    "TWICE   =                    2",
    "low case=                    1",
    "A\tB     =                    1",
    "NUL     = '\0\0\0'",
    "LATIN   = 'Observatoire \xe0 \xb5m'",
    "=       =                    =",
    "        ",
    "        blank keyword with text",
    "COMMENT \x07 bell",
    "HISTORY " + "x" * 72,
    "END     of nothing",
    "CTYPE1  =                    7",
    "CRPIX1  = 'left'",
    "CRPIX2  =                    T",
    "CRVAL1  = 'RA---TAN'",
    "CD1_1   = 'one'",
    "WCSAXES = 'two'",
    "WCSAXES =                   99",
    "A_ORDER =                    9",
    "NAXIS99 =                    5",
    "TFIELDS =                 1000",
    "PCOUNT  =                    0",
    "CHECKSUM= 'wrongwrongwrongw'",
    "DATASUM = '1'",
    "EXTEND  = 'maybe'",
    "INHERIT =                    T",
    "BUNIT   =                    4",
    "TOTEXP  = 'long'",
    "DATE-OBS= '0001-01-01T00:00:00+14:00'",
    "DATE-END= '9999-12-31T23:59:59'",
    "TIME-OBS=                   21",
    "EXPOSURE=              -1e300",
    # The value at its usual place leaves no room for the comment.
    "FOCUSPOS= 1.5/" + "a comment to the end of its card ".ljust(66, "."),
    "OBSERVER= 'nobody'/" + "and one beside a text ".ljust(61, "."),
)
"""Cards that are illegal, have values of the wrong type, or bear names that the steps use."""


def corpus(good: Path) -> dict[str, tuple[bytes, Case]]:
    """Files by name below the input folder, each with what has to become of it.

    Parameters
    ----------
    good : Path
        A frame with unsigned 16-bit pixels that is stacked as it is.
    """
    pixels = fits.getdata(good).astype(np.uint16)
    files = {**_dresses(pixels), **_headers(pixels), **_damaged(pixels), **_without_image(pixels)}
    # Two files must not differ in their extension only.
    return {f"{name.partition('.')[2]} {name}": file for name, file in files.items()}


def _dresses(pixels: NDArray[Any]) -> dict[str, tuple[bytes, Case]]:
    """Write the same good pixels as files of other kinds."""
    whole = plain_fits(pixels)
    grey = np.clip(pixels // 32, 0, 255).astype(np.uint8)
    colour = np.stack([pixels] * 3, axis=-1)
    grey_colour = np.stack([grey] * 3, axis=-1)
    opaque = np.full((*grey.shape, 1), 255, np.uint8)
    signed = (pixels.astype(np.int32) - 32768).astype(np.int16)
    blank = pixels.astype(np.int32)
    blank[:5, :5] = -77
    holes = pixels.astype(np.float32)
    holes[20:30, 40:50] = np.nan
    infinite = pixels.astype(np.float32)
    infinite[3, 4], infinite[5, 6] = np.inf, -np.inf
    same = {
        "zipped.fits.gz": gzip.compress(whole, mtime=0),
        "zipped in disguise.fits": gzip.compress(whole, mtime=1),
        "short of padding.fits": whole[: 2880 + pixels.nbytes],
        "int32.fits": plain_fits(pixels.astype(np.int32)),
        "int64.fits": plain_fits(pixels.astype(np.int64)),
        "uint32.fits": plain_fits(pixels.astype(np.uint32)),
        "float32.fts": plain_fits(pixels.astype(np.float32)),
        "float64.fit": plain_fits(pixels.astype(np.float64)),
        "bzero.fits": scaled_fits(signed, "BZERO   =              32768.0"),
        "bscale.fits": scaled_fits(
            2 * pixels.astype(np.int32), "BSCALE  =                  0.5", "BZERO   =   0"
        ),
        "extension.fits": fits_bytes(
            fits.PrimaryHDU(header=good_header()),
            fits.BinTableHDU(np.zeros(3, [("a", "f4")])),
            fits.ImageHDU(np.zeros(7)),
            fits.ImageHDU(pixels),
        ),
        "one plane.fits": plain_fits(pixels[np.newaxis]),
        "colour planes.fits": plain_fits(np.stack([pixels] * 3)),
        "normalized.fits": plain_fits((pixels / 65535).astype(np.float32)),
        "normalized.tiff": tiff((pixels / 65535).astype(np.float32)),
        "all 32 bits.fits": plain_fits(pixels.astype(np.uint32) * 65537),
        "all 32 bits.tif": tiff(pixels.astype(np.uint32) * 65537),
        "sixteen.png": bytes(imagecodecs.png_encode(pixels)),
        "colour.png": bytes(imagecodecs.png_encode(colour)),
        "sixteen.tif": tiff(pixels),
        "lzw.tif": tiff(pixels, compression="lzw", predictor=True),
        "deflate.tiff": tiff(pixels, compression="zlib"),
        "tiles.tif": tiff(pixels, tile=(32, 32), compression="zstd"),
        "float.tif": tiff(pixels.astype(np.float32), compression="zlib", predictor=3),
        "pages.tif": tiff(pixels, pixels[::-1]),
        "big endian.tif": tiff(pixels, bigtiff=True),
    }
    same |= {
        f"tiled {kind}.fits.fz": compressed_fits(pixels, kind)
        for kind in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1")
    }
    stacked = {
        "blank.fits": scaled_fits(blank, "BLANK   =                  -77"),
        "some nan.fits": plain_fits(holes),
        "infinite.fits": plain_fits(infinite),
        "negative.fits": plain_fits(pixels.astype(np.float32) - 5000),
        "quantized.fits.fz": compressed_fits(pixels.astype(np.float32), "RICE_1"),
    }
    shallow = {
        "eight.png": picture(grey, "PNG"),
        "palette.png": picture(grey, "PNG", "P"),
        "alpha.png": picture(np.concatenate([grey_colour, opaque], axis=-1), "PNG"),
        "grey.jpg": picture(grey, "JPEG", quality=98),
        "progressive.jpeg": picture(grey_colour, "JPEG", quality=98, progressive=True),
        "cmyk.jpg": picture(grey_colour, "JPEG", "CMYK", quality=98),
    }
    return {name: (content, SAME) for name, content in same.items()} | {
        name: (content, case)
        for files, case in ((stacked, STACKED), (shallow, SHALLOW))
        for name, content in files.items()
    }


def _headers(pixels: NDArray[Any]) -> dict[str, tuple[bytes, Case]]:
    """Write the same good pixels below headers that are not good."""
    signed = (pixels.astype(np.int32) - 32768).astype(np.int16)

    def with_cards(*cards: str) -> tuple[bytes, Case]:
        return scaled_fits(signed, "BZERO   =                32768", *cards), SAME

    return {
        "no cards.fits": with_cards(),
        "hostile cards.fits": with_cards(*HOSTILE_CARDS),
        "exptime text.fits": with_cards("EXPTIME = 'long'", "CCD-TEMP= 'cold'", "GAIN    = T"),
        "exptime negative.fits": with_cards("EXPTIME =               -1e300"),
        "exptime huge.fits": with_cards("EXPTIME =               1.7e308"),
        "exptime nan.fits": with_cards("EXPTIME =                  NaN", "GAIN    =   Inf"),
        "date text.fits": with_cards("DATE-OBS= 'yesterday'"),
        "date last.fits": with_cards("EXPTIME = 60.0", "DATE-OBS= '9999-12-31T23:59:59'"),
        "date first.fits": with_cards("DATE-OBS= '0001-01-01T00:00:00+14:00'"),
        "date number.fits": with_cards("DATE-OBS=             20260301"),
    }


def _damaged(pixels: NDArray[Any]) -> dict[str, tuple[bytes, Case]]:
    """Files that were whole once."""
    small = pixels[:40, :50]
    whole, tiles = plain_fits(small), compressed_fits(small, "RICE_1")
    png, jpg = bytes(imagecodecs.png_encode(small)), picture(small.astype(np.uint8), "JPEG")
    zipped = gzip.compress(whole, mtime=0)
    lzw = tiff(small, compression="lzw", rowsperstrip=8)
    cases = {
        "empty.fits": (b"", "empty"),
        "empty.png": (b"", "empty"),
        "one byte.tif": (b"I", "not a PNG, JPEG or TIFF"),
        "cut in header.fits": (whole[:1000], "header is truncated"),
        "cut in data.fits": (whole[:4000], "data is truncated"),
        "cut.fits.gz": (gzip.compress(whole)[:-60], "truncated"),
        "checksum.fits.gz": (with_flipped_bit(zipped, -6), "truncated or damaged"),
        "cut.fits.fz": (tiles[: len(tiles) - 2880], "truncated"),
        "cut.png": (png[: len(png) // 2], "Truncated"),
        "flipped.png": (with_flipped_bit(png, len(png) // 2), "damaged"),
        "cut.jpg": (jpg[: len(jpg) // 2], "truncated"),
        "cut.tif": (tiff(small)[:-100], "truncated"),
        "cut lzw.tif": (lzw[: len(lzw) // 2], "truncated"),
        "naxis negative.fits": (edited(whole, ("NAXIS1", -50)), "NAXIS1 is -50"),
        "naxis too many.fits": (edited(whole, ("NAXIS", 9)), "no usable NAXIS9"),
        "naxis too large.fits": (edited(whole, ("NAXIS2", 4000)), "truncated"),
        "naxis text.fits": (edited(whole, ("NAXIS2", "'x'")), "no usable NAXIS2"),
        "bitpix.fits": (edited(whole, ("BITPIX", 17)), "BITPIX 17"),
        "bscale.fit": (scaled_fits(np.ones((4, 4), "i2"), "BSCALE  = 'one'"), "BSCALE"),
        "hcompress.fits.fz": (overflowing_hcompress(), "damaged"),
        "50000.png": (png_of_size(50_000, 50_000), "more pixels than any camera"),
        "40000.png": (png_of_size(15_000, 15_000), "too few"),
        "50000.fits": (fits_of_size(16, 50_000, 50_000), "truncated"),
        "50000.tif": (tiff_of_size(50_000, 50_000), "are more than"),
        "50000.jpg": (jpeg_of_size(50_000, 50_000), "more pixels than any camera"),
    }
    return {name: (content, Case("failed", cause)) for name, (content, cause) in cases.items()}


def overflowing_hcompress() -> bytes:
    """Content of a compressed FITS file on which the decoder writes beyond its memory."""
    pixels = np.random.default_rng(0).integers(0, 9999, (24, 31)).astype(np.int16)
    return edited(compressed_fits(pixels, "HCOMPRESS_1"), ("PCOUNT", 8))


def _without_image(pixels: NDArray[Any]) -> dict[str, tuple[bytes, Case]]:
    """Files that are whole and have nothing to stack."""
    noise = np.random.default_rng(1).normal(1000, 5, pixels.shape).astype(np.float32)
    text = b"these are no pixels"
    cases = {
        "text.fits": (text, "not a FITS"),
        "text.png": (text, "not a PNG"),
        "text.jpg": (text, "not a PNG"),
        "text.tif": (text, "not a PNG"),
        "text.fits.gz": (gzip.compress(text), "header is truncated"),
        "png.fits": (bytes(imagecodecs.png_encode(pixels[:9])), "not a FITS"),
        "no image.fits": (fits_bytes(fits.PrimaryHDU()), "no 2-D image"),
        "table.fits": (
            fits_bytes(fits.PrimaryHDU(), fits.BinTableHDU(np.zeros(3, [("a", "f4")]))),
            "no 2-D image",
        ),
        "line.fits": (plain_fits(np.arange(100.0)), "it holds 100 pixels"),
        "cube.fits": (plain_fits(np.zeros((4, 5, 6), "i2")), "it holds 6 x 5 x 4 pixels"),
        "no rows.fits": (edited(plain_fits(pixels[:2]), ("NAXIS2", 0)), "no 2-D image"),
        "nan.fits": (plain_fits(np.full((20, 30), np.nan)), "no pixel has data"),
        "constant.fits": (plain_fits(np.full((20, 30), 7.0)), "same value"),
        "transparent.png": (picture(np.zeros((20, 30, 4), np.uint8), "PNG"), "no pixel has data"),
        "cmyk.tif": (
            tiff(np.zeros((20, 30, 4), np.uint8), photometric="separated"),
            "colours of the kind SEPARATED",
        ),
        "webp.tif": (
            tiff(np.zeros((20, 30, 3), np.uint8), photometric="rgb", compression="webp"),
            "compression WEBP",
        ),
        "complex.tif": (tiff(np.zeros((20, 30), np.complex64)), "is no image"),
    }
    failed = {name: (content, Case("failed", cause)) for name, (content, cause) in cases.items()}
    return failed | {"noise.fits": (plain_fits(noise), Case("rejected", "stars < min_star_count"))}


def _another(content: bytes, name: str) -> bytes:
    """Content of a file with the same image and other bytes: a copy would count once."""
    return content + name.encode().ljust(2880)


def strange_names(good: bytes) -> dict[str, tuple[bytes, Case]]:
    """Give a good frame names that are hard on shells, parsers and people."""
    names = (
        "with space",
        " leading space",
        "quote ' double \" back `",
        "$(touch pwned); touch pwned #",
        "-rf",
        "--help",
        "star * ? [a-z]",
        "percent %s %(x)s",
        "back\\slash",
        "back\\nslash",
        "a=b,c;d&e|f",
        "émoji 🌌 日本語",
        "right\u202eleft",
        "line\u2028separator",
        "dots...in..it.",
        "tilde~",
        "long " * 19 + "x" * 19 + "a long name".rjust(136, "-"),
        "folder.fits/inside",
    )
    refused = {
        "new\nline": "control character",
        "tab\t": "control",
        "{frame}": "reserves",
        "0" * 20: "20 times over",
    }
    cases = {f"{name}.fits": (_another(good, name), SAME) for name in names}
    cases |= {f"{name}.fits": (good, Case("failed", why)) for name, why in refused.items()}
    cases["long".rjust(251, "-") + ".fit"] = (good, Case("failed", "longer than 250 bytes"))
    cases[os.fsdecode(b"broken \xff.fits")] = (good, Case("failed", "broken text"))
    return cases


def write(folder: Path, files: dict[str, tuple[bytes, Case]]) -> dict[str, Case]:
    """Write files below a folder; the cases by frame name."""
    from scripts.lightstack.planning.frames import frame_name

    cases = {}
    for name, (content, case) in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        frame = frame_name(Path(name))
        assert frame is not None, name
        assert frame not in cases, name
        cases[frame] = case
    return cases
