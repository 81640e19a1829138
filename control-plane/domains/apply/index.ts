export { advanceApplies, isNewsForApplies, sweepApplied } from './reconcilers/advance.ts'
export { applyBindings } from './routes.ts'
export { type StepDeps } from './run-step.ts'
export { createApplyService } from './service.ts'
