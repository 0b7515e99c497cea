# Writes OUTPUT, the C++ table of the files RECIPES (separated by commas): cmake -DRECIPES=... -DOUTPUT=... -P embed_recipes.cmake
string(REPLACE "," ";" files "${RECIPES}")
list(SORT files)
set(entries "")
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME_WE)
  file(READ ${file} text)
  string(APPEND entries "      {.name = \"${name}\", .toml = R\"recipe(${text})recipe\"},\n")
endforeach()
file(WRITE ${OUTPUT} "// Made from models/recipes/*.toml.
#include \"models/recipes.h\"

namespace residua {

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> all = {
${entries}  };
  return all;
}

}  // namespace residua
")
