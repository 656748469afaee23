#include "engine/nvtx.h"

#if PROTOLITH_HAS_NVTX
#include <nvtx3/nvToolsExt.h>
#endif

namespace protolith {

#if PROTOLITH_HAS_NVTX

// Without a profiler NVTX answers with no domain.
NvtxDomain::NvtxDomain() : domain_(nvtxDomainCreateA("protolith")) {}

NvtxDomain::~NvtxDomain() {
  if (listens()) nvtxDomainDestroy(static_cast<nvtxDomainHandle_t>(domain_));
}

void NvtxDomain::push(const std::string& name) {
  if (!listens()) return;
  nvtxEventAttributes_t range{};
  range.version = NVTX_VERSION;
  range.size = NVTX_EVENT_ATTRIB_STRUCT_SIZE;
  range.messageType = NVTX_MESSAGE_TYPE_ASCII;
  range.message.ascii = name.c_str();
  nvtxDomainRangePushEx(static_cast<nvtxDomainHandle_t>(domain_), &range);
}

void NvtxDomain::pop() {
  if (listens()) nvtxDomainRangePop(static_cast<nvtxDomainHandle_t>(domain_));
}

#else

NvtxDomain::NvtxDomain() = default;
NvtxDomain::~NvtxDomain() = default;
void NvtxDomain::push(const std::string&) {}
void NvtxDomain::pop() {}

#endif

}  // namespace protolith
