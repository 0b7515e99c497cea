#include "core/optim/schedules/schedule.h"

namespace residua {
namespace {

class Constant final : public Schedule {
 public:
  explicit Constant(double rate) : rate_(rate) {}
  double rate(int64_t /*iteration*/) const override { return rate_; }

 private:
  const double rate_;
};

class ConstantKind final : public ScheduleKind {
 public:
  std::unique_ptr<Schedule> make(const ScheduleRun& run) const override { return std::make_unique<Constant>(run.rate); }
};

const Registration<ScheduleKind> kConstant = registered<ScheduleKind, ConstantKind>("constant", "the rate does not change");

}  // namespace
}  // namespace residua
