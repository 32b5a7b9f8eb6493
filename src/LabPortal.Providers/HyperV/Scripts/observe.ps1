param($in)
# A name with a star finds nothing without an error.
$machines = @(Get-VM -Name ($in.prefix + '*') | ForEach-Object {
    @{ name = $_.Name; id = [string]$_.Id; state = [string]$_.State; status = [string]$_.Status; notes = [string]$_.Notes; addresses = @($_.NetworkAdapters | ForEach-Object { $_.IPAddresses } | Where-Object { $_ }) }
})
@{ machines = $machines }
