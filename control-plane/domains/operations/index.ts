export { newOperation, operationView, type OperationAsked } from './operation.ts'
export { expireOperations } from './reconcilers/expire.ts'
export { operationBindings } from './routes.ts'
export { createOperationService, type OperationService } from './service.ts'
export {
  changeOperations,
  endOperation,
  endOperationsOf,
  failOperationsOf,
  insertOperation,
  insertOperations,
  progressOperation,
  progressOperationsOf,
  supersedeOperations,
  supersedeOperationsOf,
  type OperationEnd,
  type OperationProgress,
} from './store.ts'
