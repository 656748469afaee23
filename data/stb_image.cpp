#define STB_IMAGE_IMPLEMENTATION
#include "data/stb_image.h"
