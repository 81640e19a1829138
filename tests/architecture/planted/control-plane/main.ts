import { openStore } from './adapters/file-store.ts'
export const start = () => openStore(process.env)
