#include "data/mini_imagenet_split.h"

namespace protolith {
namespace {

// The split of Ravi and Larochelle (2017), by WordNet number.
constexpr ImagenetClass kClasses[] = {
    {"n01532829", Split::train}, {"n01558993", Split::train}, {"n01704323", Split::train},
    {"n01749939", Split::train}, {"n01770081", Split::train}, {"n01843383", Split::train},
    {"n01910747", Split::train}, {"n02074367", Split::train}, {"n02089867", Split::train},
    {"n02091831", Split::train}, {"n02101006", Split::train}, {"n02105505", Split::train},
    {"n02108089", Split::train}, {"n02108551", Split::train}, {"n02108915", Split::train},
    {"n02111277", Split::train}, {"n02113712", Split::train}, {"n02120079", Split::train},
    {"n02165456", Split::train}, {"n02457408", Split::train}, {"n02606052", Split::train},
    {"n02687172", Split::train}, {"n02747177", Split::train}, {"n02795169", Split::train},
    {"n02823428", Split::train}, {"n02966193", Split::train}, {"n03017168", Split::train},
    {"n03047690", Split::train}, {"n03062245", Split::train}, {"n03207743", Split::train},
    {"n03220513", Split::train}, {"n03337140", Split::train}, {"n03347037", Split::train},
    {"n03400231", Split::train}, {"n03476684", Split::train}, {"n03527444", Split::train},
    {"n03676483", Split::train}, {"n03838899", Split::train}, {"n03854065", Split::train},
    {"n03888605", Split::train}, {"n03908618", Split::train}, {"n03924679", Split::train},
    {"n03998194", Split::train}, {"n04067472", Split::train}, {"n04243546", Split::train},
    {"n04251144", Split::train}, {"n04258138", Split::train}, {"n04275548", Split::train},
    {"n04296562", Split::train}, {"n04389033", Split::train}, {"n04435653", Split::train},
    {"n04443257", Split::train}, {"n04509417", Split::train}, {"n04515003", Split::train},
    {"n04596742", Split::train}, {"n04604644", Split::train}, {"n04612504", Split::train},
    {"n06794110", Split::train}, {"n07584110", Split::train}, {"n07697537", Split::train},
    {"n07747607", Split::train}, {"n09246464", Split::train}, {"n13054560", Split::train},
    {"n13133613", Split::train}, {"n01855672", Split::val},   {"n02091244", Split::val},
    {"n02114548", Split::val},   {"n02138441", Split::val},   {"n02174001", Split::val},
    {"n02950826", Split::val},   {"n02971356", Split::val},   {"n02981792", Split::val},
    {"n03075370", Split::val},   {"n03417042", Split::val},   {"n03535780", Split::val},
    {"n03584254", Split::val},   {"n03770439", Split::val},   {"n03773504", Split::val},
    {"n03980874", Split::val},   {"n09256479", Split::val},   {"n01930112", Split::test},
    {"n01981276", Split::test},  {"n02099601", Split::test},  {"n02110063", Split::test},
    {"n02110341", Split::test},  {"n02116738", Split::test},  {"n02129165", Split::test},
    {"n02219486", Split::test},  {"n02443484", Split::test},  {"n02871525", Split::test},
    {"n03127925", Split::test},  {"n03146219", Split::test},  {"n03272010", Split::test},
    {"n03544143", Split::test},  {"n03775546", Split::test},  {"n04146614", Split::test},
    {"n04149813", Split::test},  {"n04418357", Split::test},  {"n04522168", Split::test},
    {"n07613480", Split::test},
};

}  // namespace

std::span<const ImagenetClass> ravi_split() {
  return kClasses;
}

}  // namespace protolith
