import { first } from './ring-first.ts'
export const second = first
