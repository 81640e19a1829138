export { first } from './ring-first.ts'
export * from './ring-second.ts' // breaks: barrel
