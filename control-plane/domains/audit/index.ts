export { auditRetentionDefault, dropOldAudit, type AuditRetention } from './reconcilers/drop.ts'
export { auditBindings } from './routes.ts'
export { createAuditService, type AuditService, type HostRefusal, type Refusal } from './service.ts'
