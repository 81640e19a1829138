// breaks: cycle
import type { second } from './ring-second.ts'
import { api } from '@nubo/contracts' // breaks: direction
export const first = (): typeof second => api
