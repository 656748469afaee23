#include "data/omniglot_split.h"

namespace protolith {
namespace {

// The split of Vinyals et al. (2016) as Snell et al. (2017) list it, in their order; each character
// is four classes, one per quarter turn.
constexpr CharacterRange kRanges[] = {
    {"Angelic", 1, 20, Split::train},
    {"Grantha", 1, 43, Split::train},
    {"N_Ko", 1, 33, Split::train},
    {"Aurek-Besh", 1, 26, Split::train},
    {"Japanese_(hiragana)", 1, 52, Split::train},
    {"Malay_(Jawi_-_Arabic)", 1, 40, Split::train},
    {"Asomtavruli_(Georgian)", 1, 40, Split::train},
    {"Sanskrit", 1, 42, Split::train},
    {"Ojibwe_(Canadian_Aboriginal_Syllabics)", 1, 14, Split::train},
    {"Korean", 1, 40, Split::train},
    {"Arcadian", 1, 26, Split::train},
    {"Greek", 1, 24, Split::train},
    {"Alphabet_of_the_Magi", 1, 20, Split::train},
    {"Blackfoot_(Canadian_Aboriginal_Syllabics)", 1, 14, Split::train},
    {"Futurama", 1, 26, Split::train},
    {"Gurmukhi", 1, 41, Split::train},
    {"Tagalog", 1, 17, Split::train},
    {"Anglo-Saxon_Futhorc", 1, 29, Split::train},
    {"Braille", 1, 26, Split::train},
    {"Cyrillic", 1, 33, Split::train},
    {"Burmese_(Myanmar)", 1, 34, Split::train},
    {"Avesta", 1, 26, Split::train},
    {"Gujarati", 1, 48, Split::train},
    {"Ge_ez", 1, 26, Split::train},
    {"Syriac_(Estrangelo)", 1, 23, Split::train},
    {"Atlantean", 1, 26, Split::train},
    {"Japanese_(katakana)", 1, 47, Split::train},
    {"Balinese", 1, 24, Split::train},
    {"Atemayar_Qelisayer", 1, 26, Split::train},
    {"Glagolitic", 1, 45, Split::train},
    {"Tifinagh", 1, 55, Split::train},
    {"Latin", 1, 26, Split::train},
    {"Inuktitut_(Canadian_Aboriginal_Syllabics)", 1, 16, Split::train},
    {"Hebrew", 1, 22, Split::val},
    {"Mkhedruli_(Georgian)", 1, 41, Split::val},
    {"Armenian", 1, 41, Split::val},
    {"Early_Aramaic", 1, 22, Split::val},
    {"Bengali", 1, 46, Split::val},
    {"Gurmukhi", 42, 45, Split::test},
    {"Kannada", 1, 41, Split::test},
    {"Keble", 1, 26, Split::test},
    {"Malayalam", 1, 47, Split::test},
    {"Manipuri", 1, 40, Split::test},
    {"Mongolian", 1, 30, Split::test},
    {"Old_Church_Slavonic_(Cyrillic)", 1, 45, Split::test},
    {"Oriya", 1, 46, Split::test},
    {"Syriac_(Serto)", 1, 23, Split::test},
    {"Sylheti", 1, 28, Split::test},
    {"Tengwar", 1, 25, Split::test},
    {"Tibetan", 1, 42, Split::test},
    {"ULOG", 1, 26, Split::test},
};

}  // namespace

std::span<const CharacterRange> vinyals_split() {
  return kRanges;
}

}  // namespace protolith
