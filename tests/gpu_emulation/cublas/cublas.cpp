// Stand-in for cuBLAS: handles, their settings, and f32 matrix products. Column-major, as BLAS.
#include <cublas_v2.h>

#include <algorithm>
#include <set>
#include <string>

#include "tests/gpu_emulation/cublas/gemm.h"
#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

// What cublas_api.h leaves incomplete.
struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  bool own_workspace = true;  ///< cuBLAS's default pool rather than what cublasSetWorkspace gave
  unsigned math = CUBLAS_DEFAULT_MATH;
  cublasPointerMode_t pointer_mode = CUBLAS_POINTER_MODE_HOST;
};

namespace {

std::set<cublasHandle_t>& handles() {
  static auto* const live = new std::set<cublasHandle_t>;
  return *live;
}

// What a call returns, thrown from wherever it was found.
struct Refusal {
  cublasStatus_t status;
};

void require(bool condition, cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE) {
  if (!condition) throw Refusal{status};
}

template <class F>
cublasStatus_t blas_call(cublasHandle_t handle, F&& body) {
  const std::lock_guard lock(device().mutex);
  if (handles().count(handle) == 0) return CUBLAS_STATUS_NOT_INITIALIZED;
  try {
    body(*handle);
    return CUBLAS_STATUS_SUCCESS;
  } catch (const Refusal& refusal) {
    return refusal.status;
  }
}

// Captured work cannot use cuBLAS's own pool: the library then makes the graph allocate a workspace
// at every launch, which is counted here at the capture.
void count_workspace(const cublasContext& context) {
  cudaStreamCaptureStatus status;
  require(cudaStreamIsCapturing(context.stream, &status) == cudaSuccess,
          CUBLAS_STATUS_EXECUTION_FAILED);
  if (status != cudaStreamCaptureStatusNone && context.own_workspace) ++counters().allocations;
}

// The bytes from a matrix's first element to its last; none for an empty one.
std::size_t extent(std::int64_t rows, std::int64_t columns, std::int64_t ld, std::int64_t stride,
                   std::int64_t batch) {
  if (rows == 0 || columns == 0 || batch == 0) return 0;
  return sizeof(float) * static_cast<std::size_t>(stride * (batch - 1) + ld * (columns - 1) + rows);
}

void check(const Gemm& g, cublasOperation_t a, cublasOperation_t b) {
  const auto known = [](cublasOperation_t operation) {
    return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
  };
  require(known(a) && known(b) && g.m >= 0 && g.n >= 0 && g.k >= 0 && g.batch >= 0);
  require(g.lda >= std::max<std::int64_t>(1, g.transpose_a ? g.k : g.m));
  require(g.ldb >= std::max<std::int64_t>(1, g.transpose_b ? g.n : g.k));
  require(g.ldc >= std::max<std::int64_t>(1, g.m));
  require(g.stride_a >= 0 && g.stride_b >= 0 && g.stride_c >= 0);
  require(g.alpha != nullptr && g.beta != nullptr);
}

std::vector<Operand> operands_of(const Gemm& g, const cublasContext& context) {
  std::vector<Operand> operands{
      {"C", g.c, extent(g.m, g.n, g.ldc, g.stride_c, g.batch), sizeof(float), true},
      {"A", g.a,
       extent(g.transpose_a ? g.k : g.m, g.transpose_a ? g.m : g.k, g.lda, g.stride_a, g.batch),
       sizeof(float)},
      {"B", g.b,
       extent(g.transpose_b ? g.n : g.k, g.transpose_b ? g.k : g.n, g.ldb, g.stride_b, g.batch),
       sizeof(float)}};
  if (context.workspace_bytes != 0) {
    operands.push_back({"workspace", context.workspace, context.workspace_bytes, 256, true});
  }
  if (context.pointer_mode == CUBLAS_POINTER_MODE_DEVICE) {
    operands.push_back({"alpha", g.alpha, sizeof(float), sizeof(float)});
    if (g.beta != g.alpha) operands.push_back({"beta", g.beta, sizeof(float), sizeof(float)});
  }
  return operands;
}

cublasStatus_t multiply(cublasHandle_t handle, const char* name, Gemm g, cublasOperation_t a,
                        cublasOperation_t b) {
  return blas_call(handle, [&](const cublasContext& context) {
    g.transpose_a = a != CUBLAS_OP_N;
    g.transpose_b = b != CUBLAS_OP_N;
    check(g, a, b);
    if (g.m == 0 || g.n == 0 || g.batch == 0) return;
    // Products that overwrite each other have no defined result.
    require(g.batch == 1 || g.stride_c >= g.ldc * (g.n - 1) + g.m);
    g.tf32 =
        g.tf32 || (context.math & ~unsigned{CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION}) ==
                      CUBLAS_TF32_TENSOR_OP_MATH;
    g.tf32 = g.tf32 && !g.pedantic;
    std::vector<Operand> operands = operands_of(g, context);
    count_workspace(context);
    if (context.pointer_mode == CUBLAS_POINTER_MODE_HOST) {
      g.alpha_value = *g.alpha;
      g.beta_value = *g.beta;
      g.alpha = g.beta = nullptr;
    }
    g.workspace = context.workspace;
    g.workspace_bytes = context.workspace_bytes;
    const cudaError_t status =
        enqueue(context.stream, WorkKind::cublas, name, std::move(operands), [g] { run_gemm(g); });
    require(status == cudaSuccess, CUBLAS_STATUS_EXECUTION_FAILED);
  });
}

struct StatusText {
  cublasStatus_t status;
  const char *name, *description;
};

const StatusText& text_of(cublasStatus_t status) {
#define TEXT(status, description) \
  { status, #status, description }
  static constexpr StatusText kTexts[] = {
      TEXT(CUBLAS_STATUS_SUCCESS, "success"),
      TEXT(CUBLAS_STATUS_NOT_INITIALIZED, "the library was not initialized"),
      TEXT(CUBLAS_STATUS_ALLOC_FAILED, "the resource allocation failed"),
      TEXT(CUBLAS_STATUS_INVALID_VALUE,
           "an unsupported value or parameter was passed to the function"),
      TEXT(CUBLAS_STATUS_EXECUTION_FAILED, "the function failed to launch on the GPU"),
      TEXT(CUBLAS_STATUS_INTERNAL_ERROR, "an internal operation failed"),
      TEXT(CUBLAS_STATUS_NOT_SUPPORTED, "the requested functionality is not supported"),
  };
#undef TEXT
  static constexpr StatusText kNone{CUBLAS_STATUS_SUCCESS, "unrecognized status",
                                    "unrecognized status"};
  const auto* const found = std::find_if(std::begin(kTexts), std::end(kTexts),
                                         [=](const StatusText& t) { return t.status == status; });
  return found == std::end(kTexts) ? kNone : *found;
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate(cublasHandle_t* handle) {
  if (handle == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  // A handle allocates on the device: no device, or a capture that forbids it, means no handle.
  const cudaError_t status = call([&](Device& d) {
    d.forbid_during_capture();
    ++d.counters.allocations;
  });
  if (status != cudaSuccess) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = *handles().insert(new cublasContext).first;
  count_handle("cuBLAS handles", 1);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy(cublasHandle_t handle) {
  return blas_call(handle, [&](cublasContext&) {
    handles().erase(handle);
    delete handle;
    count_handle("cuBLAS handles", -1);
    (void)cudaDeviceSynchronize();  // as cuBLAS does, in order to free its memory
  });
}

cublasStatus_t cublasGetVersion(cublasHandle_t, int* version) {
  if (version == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  *version = CUBLAS_VERSION;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSetStream(cublasHandle_t handle, cudaStream_t stream) {
  return blas_call(handle, [&](cublasContext& context) {
    context.stream = stream;
    // As documented: a stream starts with the default workspace.
    context.workspace = nullptr;
    context.workspace_bytes = 0;
    context.own_workspace = true;
  });
}

cublasStatus_t cublasGetStream(cublasHandle_t handle, cudaStream_t* stream) {
  return blas_call(handle, [&](const cublasContext& context) {
    require(stream != nullptr);
    *stream = context.stream;
  });
}

cublasStatus_t cublasSetWorkspace(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  return blas_call(handle, [&](cublasContext& context) {
    require(reinterpret_cast<std::uintptr_t>(workspace) % 256 == 0);
    require(bytes == 0 || device().memory.check(workspace, bytes, Space::device).empty());
    context.workspace = workspace;
    context.workspace_bytes = bytes;
    context.own_workspace = false;
  });
}

cublasStatus_t cublasSetMathMode(cublasHandle_t handle, cublasMath_t mode) {
  return blas_call(handle, [&](cublasContext& context) {
    const unsigned base =
        unsigned{mode} & ~unsigned{CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION};
    require(base == CUBLAS_DEFAULT_MATH || base == CUBLAS_PEDANTIC_MATH ||
            base == CUBLAS_TF32_TENSOR_OP_MATH);
    context.math = mode;
  });
}

cublasStatus_t cublasGetMathMode(cublasHandle_t handle, cublasMath_t* mode) {
  return blas_call(handle, [&](const cublasContext& context) {
    require(mode != nullptr);
    *mode = static_cast<cublasMath_t>(context.math);
  });
}

cublasStatus_t cublasSetPointerMode(cublasHandle_t handle, cublasPointerMode_t mode) {
  return blas_call(handle, [&](cublasContext& context) {
    require(mode == CUBLAS_POINTER_MODE_HOST || mode == CUBLAS_POINTER_MODE_DEVICE);
    context.pointer_mode = mode;
  });
}

cublasStatus_t cublasGetPointerMode(cublasHandle_t handle, cublasPointerMode_t* mode) {
  return blas_call(handle, [&](const cublasContext& context) {
    require(mode != nullptr);
    *mode = context.pointer_mode;
  });
}

const char* cublasGetStatusName(cublasStatus_t status) {
  return text_of(status).name;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  return text_of(status).description;
}

cublasStatus_t cublasSgemm(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                           int m, int n, int k, const float* alpha, const float* a, int lda,
                           const float* b, int ldb, const float* beta, float* c, int ldc) {
  Gemm g;
  g.m = m, g.n = n, g.k = k;
  g.alpha = alpha, g.beta = beta;
  g.a = a, g.b = b, g.c = c;
  g.lda = lda, g.ldb = ldb, g.ldc = ldc;
  return multiply(handle, "cublasSgemm", g, op_a, op_b);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t op_a,
                                         cublasOperation_t op_b, int m, int n, int k,
                                         const float* alpha, const float* a, int lda,
                                         long long stride_a, const float* b, int ldb,
                                         long long stride_b, const float* beta, float* c, int ldc,
                                         long long stride_c, int batch) {
  Gemm g;
  g.m = m, g.n = n, g.k = k, g.batch = batch;
  g.alpha = alpha, g.beta = beta;
  g.a = a, g.b = b, g.c = c;
  g.lda = lda, g.ldb = ldb, g.ldc = ldc;
  g.stride_a = stride_a, g.stride_b = stride_b, g.stride_c = stride_c;
  return multiply(handle, "cublasSgemmStridedBatched", g, op_a, op_b);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t op_a, cublasOperation_t op_b,
                            int m, int n, int k, const void* alpha, const void* a,
                            cudaDataType a_type, int lda, const void* b, cudaDataType b_type,
                            int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t algorithm) {
  const cublasStatus_t supported = blas_call(handle, [&](const cublasContext&) {
    require(a_type == CUDA_R_32F && b_type == CUDA_R_32F && c_type == CUDA_R_32F,
            CUBLAS_STATUS_NOT_SUPPORTED);
    require(compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
                compute == CUBLAS_COMPUTE_32F_FAST_TF32,
            CUBLAS_STATUS_NOT_SUPPORTED);
    require(algorithm == CUBLAS_GEMM_DEFAULT || algorithm == CUBLAS_GEMM_DEFAULT_TENSOR_OP,
            CUBLAS_STATUS_NOT_SUPPORTED);
  });
  if (supported != CUBLAS_STATUS_SUCCESS) return supported;
  Gemm g;
  g.m = m, g.n = n, g.k = k;
  g.alpha = static_cast<const float*>(alpha), g.beta = static_cast<const float*>(beta);
  g.a = static_cast<const float*>(a), g.b = static_cast<const float*>(b);
  g.c = static_cast<float*>(c);
  g.lda = lda, g.ldb = ldb, g.ldc = ldc;
  g.tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  g.pedantic = compute == CUBLAS_COMPUTE_32F_PEDANTIC;
  return multiply(handle, "cublasGemmEx", g, op_a, op_b);
}

}  // extern "C"
