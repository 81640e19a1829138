export type { Query } from './command.ts'
