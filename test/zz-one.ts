import { NodeServer } from './http1-node.ts'
const s = await NodeServer.start()
const t = setInterval(()=>{},1000)
for (const raw of process.argv.slice(2)) console.log(raw, await Promise.race([s.read(Buffer.from(JSON.parse('"'+raw+'"'),'latin1')), new Promise(r=>setTimeout(r,1500,'TIMEOUT'))]))
clearInterval(t)
process.exit()
