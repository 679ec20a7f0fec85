
-- What the reader has worked out is of one topic in one state. Another has to be worked out anew.
local t = topic()
if not t or t.id ~= a.id or t.epoch ~= a.epoch or num(t.first) > a.from or num(t.tail) < a.to then return { 'changed' } end
local events, number, size, step = { 'events', '1' }, a.from, 0, 16
while number < a.to do
    local entries = redis.call('XRANGE', E, str(number + 1), str(a.to), 'COUNT', step)
    if #entries == 0 then return { 'hole' } end
    for _, entry in ipairs(entries) do
        local body = entry[2][4]
        if entry[1] ~= str(number + 1) .. '-0' then return { 'hole' } end
        if size + #body > a.bytes and not (a.one and #events == 2) then return events end
        if #events > 2 and (size > a.slice_bytes or #events > a.slice) then
            events[2] = '0'
            return events
        end
        number, size = number + 1, size + #body
        events[#events + 1] = body
    end
    step = 128
end
events[2] = '0'
return events
