// What a profiler loads into a process to hear NVTX ranges, as nsys does: writes each range of ours
// that begins and ends to the file that NVTX_LOG names.
#include <nvtx3/nvToolsExt.h>

#include <cstdio>
#include <cstdlib>

namespace {

std::FILE* log_file() {
  static std::FILE* const file = std::fopen(std::getenv("NVTX_LOG"), "w");
  return file;
}

struct nvtxDomainRegistration_st* the_domain() {
  static char domain = 0;
  return reinterpret_cast<nvtxDomainRegistration_st*>(&domain);
}

nvtxDomainHandle_t NVTX_API domain_create(const char* name) {
  std::fprintf(log_file(), "domain %s\n", name);
  return the_domain();
}

int NVTX_API range_push(nvtxDomainHandle_t domain, const nvtxEventAttributes_t* range) {
  const bool right = domain == the_domain() && range->version == NVTX_VERSION &&
                     range->size == NVTX_EVENT_ATTRIB_STRUCT_SIZE &&
                     range->messageType == NVTX_MESSAGE_TYPE_ASCII;
  std::fprintf(log_file(), "push %s\n", right ? range->message.ascii : "(malformed)");
  return 0;
}

int NVTX_API range_pop(nvtxDomainHandle_t domain) {
  std::fprintf(log_file(), domain == the_domain() ? "pop\n" : "pop (malformed)\n");
  return 0;
}

void NVTX_API domain_destroy(nvtxDomainHandle_t) {
  std::fflush(log_file());
}

template <class F>
void set(NvtxFunctionTable table, unsigned size, unsigned id, F* function) {
  if (id < size) *table[id] = reinterpret_cast<NvtxFunctionPointer>(function);
}

}  // namespace

/// NVTX calls this first.
extern "C" __attribute__((visibility("default"))) int InitializeInjectionNvtx2(
    NvtxGetExportTableFunc_t get_table) {
  const auto* callbacks =
      static_cast<const NvtxExportTableCallbacks*>(get_table(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (callbacks == nullptr ||
      callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE2, &table, &size) == 0) {
    return 0;
  }
  set(table, size, NVTX_CBID_CORE2_DomainCreateA, domain_create);
  set(table, size, NVTX_CBID_CORE2_DomainDestroy, domain_destroy);
  set(table, size, NVTX_CBID_CORE2_DomainRangePushEx, range_push);
  set(table, size, NVTX_CBID_CORE2_DomainRangePop, range_pop);
  return 1;
}
