#!lua flags=allow-oom
-- Give messages back, which become new entries. Asked: the delay, and place, entry, count and key of each.
-- Returns 1 for each, 0 where the lease was lost.
local delay, receipts = unpack(asked)
local outcomes = {}
for i, receipt in ipairs(receipts) do
  local place, id, count, key = unpack(receipt)
  local queue = queues[place]
  local entry = held(queue, id, count) and entry_of(queue.ready, id)
  outcomes[i] = 0
  if entry then
    local message = read(entry)
    redis.call('HSET', living, key, put(place, key, message.body, message.deliveries + count, delay))
    remove(queue, {id})
    outcomes[i] = 1
  end
end
return cmsgpack.pack(outcomes)
