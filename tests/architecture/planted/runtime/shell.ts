import { query } from './query.ts'
export const asked = query({ argv: ['sh', '-c', 'true'] }) // breaks: shell-string
export const container = { command: ['sh', '-c', 'true'] }
