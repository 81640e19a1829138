export { recountQuotas } from './reconcilers/recount.ts'
export { quotaBindings } from './routes.ts'
export { createQuotaService } from './service.ts'
export { quotaMismatches } from './store.ts'
