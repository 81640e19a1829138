export { compute } from './service.ts'
