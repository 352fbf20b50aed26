#!lua flags=allow-oom
-- Let leases last from now. Asked: the lease, and place, entry and count of each.
-- Returns 1 for each, 0 where the lease was lost.
local lease, receipts = unpack(asked)
local outcomes = {}
for i, receipt in ipairs(receipts) do
  local place, entry, count = unpack(receipt)
  local queue = queues[place]
  outcomes[i] = 0
  if held(queue, entry, count) then
    outcomes[i] = 1
    hold(queue, {{entry}}, lease)
  end
end
return cmsgpack.pack(outcomes)
