#!lua flags=allow-oom
-- Move messages to the dead letters. Asked: place, entry, count and reason of each.
-- Returns 1 for each, 0 where the lease was lost.
local receipts = unpack(asked)
local outcomes = {}
local died = time[1] .. string.format('%06d', time[2]) -- in us: it orders the deaths of all priorities
for i, receipt in ipairs(receipts) do
  local place, id, count, reason = unpack(receipt)
  local queue = queues[place]
  local entry = held(queue, id, count) and entry_of(queue.ready, id)
  outcomes[i] = 0
  if entry then
    local message = read(entry)
    redis.call('XADD', queue.dead, '*', 'key', message.key, 'body', message.body, 'reason', reason, 'died', died)
    remove(queue, {id})
    redis.call('HDEL', living, message.key)
    outcomes[i] = 1
  end
end
return cmsgpack.pack(outcomes)
