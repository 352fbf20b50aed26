#!lua flags=allow-oom
-- Remove messages for good.
-- Asked: place, entry, count and key of each. Returns 1 for each, 0 where the lease was lost.
local receipts = unpack(asked)
local outcomes, gone, keys = {}, {}, {}
for i, receipt in ipairs(receipts) do
  local place, entry, count, key = unpack(receipt)
  outcomes[i] = 0
  if held(queues[place], entry, count) then
    outcomes[i] = 1
    gone[place] = gone[place] or {}
    table.insert(gone[place], entry)
    keys[#keys + 1] = key
  end
end
for place, entries in pairs(gone) do remove(queues[place], entries) end
if #keys > 0 then redis.call('HDEL', living, unpack(keys)) end
return cmsgpack.pack(outcomes)
