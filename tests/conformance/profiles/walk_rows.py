"""How clients walk each profile: data for the walks in process and over HTTP.

A row leads from the central instances of a profile over associations to a class that it asks for, and names the
mandatory properties that every instance there must have.
"""

from __future__ import annotations

from dataclasses import dataclass

# Mandatory properties that several classes of the profiles share.
STATE = ("EnabledState", "RequestedState", "OperationalStatus", "HealthState", "ElementName")
SYSTEM = ("CreationClassName", "Name", *STATE)
DEVICE = ("SystemCreationClassName", "SystemName", "CreationClassName", "DeviceID", *STATE)
SERVICE = ("SystemCreationClassName", "SystemName", "CreationClassName", "Name")
POOL = ("InstanceID", "ElementName", "PoolID", "Primordial", "ResourceType")
RASD = ("InstanceID", "ResourceType")
VSSD = ("InstanceID", "ElementName", "VirtualSystemIdentifier", "VirtualSystemType")
LIMITS = (
    "InstanceID", "ResourceType", "RequestTypesSupported", "SharingMode", "SupportedAddStates", "SupportedRemoveStates",
)  # fmt: skip
BLOCKS = ("BlockSize", "NumberOfBlocks", "ConsumableBlocks")
PORT = (*DEVICE, "PermanentAddress", "NetworkAddresses", "LinkTechnology")
ENDPOINT = (*SERVICE, "MACAddress", "ProtocolIFType")

METRIC = ("Id", "Name", "DataType", "ChangeType", "TimeScope", "GatheringType", "IsContinuous", "ProgrammaticUnits")
VALUE = ("InstanceID", "MetricDefinitionId", "MetricValue", "TimeStamp")


@dataclass(frozen=True)
class Row:
    """A row of a profile's table: the class reached from the central instances over `hops`, each an association, the
    role of where one stands, and the class at the other end; and its mandatory properties. Without hops: the central
    class."""

    profile: str
    properties: tuple[str, ...]
    hops: tuple[str, ...] = ()


CS_STATE = "CIM_SettingsDefineState ManagedElement CIM_VirtualSystemSettingData"
CS_DEFINED = "CIM_ElementSettingData ManagedElement CIM_VirtualSystemSettingData"
PARTS = "CIM_VirtualSystemSettingDataComponent GroupComponent CIM_ResourceAllocationSettingData"
TO_HOST = "CIM_HostedResourcePool PartComponent CIM_System"
MANAGER = "CIM_ServiceAffectsElement AffectedElement CIM_ResourcePoolConfigurationService"
CAN = "CIM_ElementCapabilities ManagedElement CIM_AllocationCapabilities"
LIMIT = "CIM_SettingsDefineCapabilities GroupComponent CIM_ResourceAllocationSettingData"
CORES = "CIM_ConcreteComponent GroupComponent CIM_ProcessorCore"
MEASURED = "CIM_MetricDefForME Dependent CIM_ComputerSystem"
AGGREGATED = "CIM_MetricForME Antecedent CIM_AggregationMetricValue"
TAGGED = "CIM_HostedAccessPoint Antecedent CIM_VLANEndpoint"


def allocated(device: str) -> str:
    return f"CIM_ElementAllocatedFromPool Antecedent {device}"


def asked(setting: str) -> str:
    return f"CIM_ResourceAllocationFromPool Antecedent {setting}"


def virtualized(
    name: str, pool: tuple[str, ...], device: str, of_device: tuple[str, ...], setting: str, of_setting: tuple[str, ...]
) -> tuple[Row, ...]:
    """The rows that every profile of a resource has."""
    return (
        Row(name, (*POOL, *pool)),
        Row(name, SYSTEM, (TO_HOST,)),
        Row(name, LIMITS, (CAN,)),
        Row(name, of_device, (allocated(device),)),
        Row(name, (*RASD, *of_setting), (asked(setting),)),
        Row(name, (*RASD, *of_setting), (allocated(device), f"CIM_SettingsDefineState ManagedElement {setting}")),
        Row(name, SYSTEM, (allocated(device), "CIM_SystemDevice PartComponent CIM_ComputerSystem")),
    )


# fmt: off
ROWS = (
    Row("System Virtualization", SYSTEM),
    Row("System Virtualization", SYSTEM, ("CIM_HostedDependency Antecedent CIM_ComputerSystem",)),
    Row("System Virtualization",
        ("InstanceID", "ElementName", "VirtualSystemTypesSupported", "SynchronousMethodsSupported",
         "AsynchronousMethodsSupported", "IndicationsSupported"),
        ("CIM_ElementCapabilities ManagedElement CIM_VirtualSystemManagementCapabilities",)),
    Row("System Virtualization", SERVICE, ("CIM_HostedService Antecedent CIM_VirtualSystemManagementService",)),
    Row("Virtual System", SYSTEM),
    Row("Virtual System", VSSD, (CS_STATE,)),
    Row("Virtual System", VSSD, (CS_STATE, CS_DEFINED)),
    Row("Virtual System", RASD, (CS_STATE, PARTS)),
    Row("Virtual System", RASD, (CS_STATE, CS_DEFINED, PARTS)),
    Row("Virtual System", RASD,
        (CS_STATE, PARTS, "CIM_ElementSettingData ManagedElement CIM_ResourceAllocationSettingData")),
    Row("Virtual System", DEVICE, (CS_STATE, PARTS, "CIM_SettingsDefineState SettingData CIM_LogicalDevice")),
    Row("Virtual System", DEVICE, ("CIM_SystemDevice GroupComponent CIM_LogicalDevice",)),
    Row("Virtual System", ("InstanceID", "RequestedStatesSupported", "ElementNameEditSupported"),
        ("CIM_ElementCapabilities ManagedElement CIM_EnabledLogicalElementCapabilities",)),
    Row("Computer System", SYSTEM),
    Row("Computer System", ("InstanceID", "RequestedStatesSupported", "ElementNameEditSupported"),
        ("CIM_ElementCapabilities ManagedElement Xen_HostComputerSystemCapabilities",)),
    Row("CPU", (*DEVICE, "CPUStatus", "Family", "OtherFamilyDescription", "MaxClockSpeed", "CurrentClockSpeed")),
    Row("CPU", SYSTEM, ("CIM_SystemDevice PartComponent CIM_ComputerSystem",)),
    Row("CPU", ("InstanceID", "NumberOfProcessorCores", "NumberOfHardwareThreads", "RequestedStatesSupported",
                "ElementNameEditSupported"), ("CIM_ElementCapabilities ManagedElement CIM_ProcessorCapabilities",)),
    Row("CPU", DEVICE,
        ("CIM_ElementCapabilities ManagedElement CIM_ProcessorCapabilities",
         "CIM_ElementCapabilities Capabilities CIM_Processor")),
    Row("CPU", ("InstanceID", "CoreEnabledState", *STATE), (CORES,)),
    Row("CPU", ("InstanceID", *STATE), (CORES, "CIM_ConcreteComponent GroupComponent CIM_HardwareThread")),
    Row("System Memory", (*DEVICE, *BLOCKS, "Volatile", "Access")),
    Row("System Memory", ("Tag", "CreationClassName", "FormFactor", "MemoryType", "Capacity"),
        ("CIM_Realizes Dependent CIM_PhysicalMemory",)),
    Row("System Memory", SYSTEM, ("CIM_SystemDevice PartComponent CIM_ComputerSystem",)),
    Row("Resource Allocation", POOL),
    Row("Resource Allocation", SYSTEM, (TO_HOST,)),
    Row("Resource Allocation", RASD, (asked("CIM_ResourceAllocationSettingData"),)),
    Row("Resource Allocation", POOL, (allocated("CIM_ResourcePool"),)),
    Row("Resource Allocation", DEVICE, ("CIM_ConcreteComponent GroupComponent CIM_LogicalDevice",)),
    Row("Resource Allocation", SERVICE, (MANAGER,)),
    Row("Resource Allocation", POOL, (MANAGER, "CIM_ServiceAffectsElement AffectingElement CIM_ResourcePool")),
    Row("Resource Allocation", SYSTEM, (MANAGER, "CIM_HostedService Dependent CIM_ComputerSystem")),
    Row("Resource Allocation", ("InstanceID",),
        (MANAGER, "CIM_ElementCapabilities ManagedElement CIM_ResourcePoolConfigurationCapabilities")),
    Row("Allocation Capabilities", LIMITS),
    Row("Allocation Capabilities", POOL, ("CIM_ElementCapabilities Capabilities CIM_ResourcePool",)),
    Row("Allocation Capabilities", RASD, (LIMIT,)),
    *virtualized("Processor Resource Virtualization", ("AllocationUnits", "Capacity"), "CIM_Processor", DEVICE,
                 "CIM_ProcessorAllocationSettingData", ("AllocationUnits", "VirtualQuantity", "VirtualQuantityUnits")),
    Row("Processor Resource Virtualization", DEVICE, ("CIM_ConcreteComponent GroupComponent CIM_Processor",)),
    *virtualized("Memory Resource Virtualization", ("AllocationUnits", "Capacity", "Reserved"),
                 "CIM_Memory", (*DEVICE, *BLOCKS),
                 "CIM_MemoryAllocationSettingData", ("AllocationUnits", "VirtualQuantity", "VirtualQuantityUnits")),
    *virtualized("Storage Resource Virtualization", ("AllocationUnits", "Capacity", "Reserved"),
                 "CIM_LogicalDisk", (*DEVICE, *BLOCKS, "Name", "NameFormat", "NameNamespace"),
                 "CIM_StorageAllocationSettingData",
                 ("PoolID", "AllocationUnits", "VirtualQuantity", "VirtualQuantityUnits", "VirtualResourceBlockSize",
                  "Access")),
    Row("Storage Resource Virtualization", (*DEVICE, *BLOCKS), (allocated("CIM_StorageVolume"),)),
    Row("Storage Resource Virtualization", (*DEVICE, *BLOCKS),
        (allocated("CIM_StorageVolume"), "CIM_HostedDependency Antecedent CIM_LogicalDisk")),
    Row("Storage Resource Virtualization", DEVICE,
        (allocated("CIM_StorageVolume"), "CIM_MediaPresent Dependent CIM_CDROMDrive")),
    *virtualized("Ethernet Port Resource Virtualization", (), "CIM_EthernetPort", PORT,
                 "CIM_EthernetPortAllocationSettingData", ("Address", "VirtualQuantity", "VirtualQuantityUnits")),
    Row("Ethernet Port Resource Virtualization", ENDPOINT,
        (allocated("CIM_EthernetPort"), "CIM_DeviceSAPImplementation Antecedent CIM_LANEndpoint")),
    Row("Ethernet Port Resource Virtualization", ENDPOINT,
        (allocated("CIM_EthernetPort"), "CIM_DeviceSAPImplementation Antecedent CIM_LANEndpoint",
         "CIM_ActiveConnection Dependent CIM_LANEndpoint")),
    *virtualized("Generic Device Resource Virtualization", (), "CIM_LogicalDevice", DEVICE,
                 "CIM_ResourceAllocationSettingData", ()),
    Row("Base Metrics", METRIC),
    Row("Base Metrics", VALUE, ("CIM_MetricInstance Antecedent CIM_BaseMetricValue",)),
    Row("Base Metrics", SYSTEM, ("CIM_MetricDefForME Dependent CIM_ComputerSystem",)),
    Row("Base Metrics", DEVICE, ("CIM_MetricDefForME Dependent CIM_LogicalDevice",)),
    Row("Base Metrics", SYSTEM,
        ("CIM_MetricInstance Antecedent CIM_BaseMetricValue", "CIM_MetricForME Dependent CIM_ComputerSystem")),
    Row("Base Metrics", DEVICE,
        ("CIM_MetricInstance Antecedent CIM_BaseMetricValue", "CIM_MetricForME Dependent CIM_LogicalDevice")),
    Row("Base Metrics", (*VALUE, "AggregationTimeStamp", "AggregationDuration"), (MEASURED, AGGREGATED)),
    Row("Base Metrics", (*METRIC, "SimpleFunction"),
        (MEASURED, AGGREGATED, "CIM_MetricInstance Dependent CIM_AggregationMetricDefinition")),
    Row("Base Metrics", SERVICE, ("CIM_ServiceAffectsElement AffectedElement CIM_MetricService",)),
    Row("Base Metrics", ("InstanceID", "SupportedMethods"),
        ("CIM_ServiceAffectsElement AffectedElement CIM_MetricService",
         "CIM_ElementCapabilities ManagedElement CIM_MetricServiceCapabilities")),
    Row("KVM Redirection", (*SERVICE, *STATE, "KVMProtocol")),
    Row("KVM Redirection", SYSTEM, ("CIM_HostedAccessPoint Dependent CIM_ComputerSystem",)),
    Row("KVM Redirection", SYSTEM, ("CIM_SAPAvailableForElement AvailableSAP CIM_ComputerSystem",)),
    Row("KVM Redirection",
        (*SERVICE, "RedirectionServiceType", "SharingMode", "MaxCurrentEnabledSAPs", "EnabledState", "RequestedState"),
        ("CIM_ServiceAccessBySAP Dependent CIM_RedirectionService",)),
    Row("KVM Redirection", ("InstanceID", "SharingModeSupported"),
        ("CIM_ServiceAccessBySAP Dependent CIM_RedirectionService",
         "CIM_ElementCapabilities ManagedElement CIM_RedirectionServiceCapabilities")),
    Row("KVM Redirection", SYSTEM,
        ("CIM_ServiceAccessBySAP Dependent CIM_RedirectionService",
         "CIM_HostedService Dependent CIM_ComputerSystem")),
    Row("KVM Redirection", SYSTEM,
        ("CIM_ServiceAccessBySAP Dependent CIM_RedirectionService",
         "CIM_ServiceAffectsElement AffectingElement CIM_ComputerSystem")),
    Row("KVM Redirection", ("AccessInfo", "InfoFormat"),
        ("CIM_SAPSAPDependency Dependent CIM_RemoteServiceAccessPoint",)),
    Row("KVM Redirection", ("PortNumber",), ("CIM_BindsTo Dependent CIM_TCPProtocolEndpoint",)),
    Row("KVM Redirection", SYSTEM,
        ("CIM_BindsTo Dependent CIM_TCPProtocolEndpoint", "CIM_HostedAccessPoint Dependent CIM_ComputerSystem")),
    Row("Virtual Ethernet Switch", (*SYSTEM, "Dedicated")),
    Row("Virtual Ethernet Switch", (*VSSD, "AssociatedResourcePool"),
        ("CIM_SettingsDefineState ManagedElement CIM_VirtualEthernetSwitchSettingData",)),
    Row("Virtual Ethernet Switch", SYSTEM, ("CIM_HostedDependency Dependent CIM_ComputerSystem",)),
    Row("Virtual Ethernet Switch", PORT, ("CIM_SystemDevice GroupComponent CIM_EthernetPort",)),
    Row("Virtual Ethernet Switch", ENDPOINT,
        ("CIM_SystemDevice GroupComponent CIM_EthernetPort",
         "CIM_DeviceSAPImplementation Antecedent CIM_LANEndpoint")),
    Row("Virtual Ethernet Switch", ENDPOINT,
        ("CIM_SystemDevice GroupComponent CIM_EthernetPort",
         "CIM_DeviceSAPImplementation Antecedent CIM_LANEndpoint",
         "CIM_ActiveConnection Antecedent CIM_LANEndpoint")),
    Row("Virtual Ethernet Switch", RASD,
        ("CIM_SettingsDefineState ManagedElement CIM_VirtualEthernetSwitchSettingData",
         "CIM_VirtualSystemSettingDataComponent GroupComponent CIM_EthernetPortAllocationSettingData")),
    Row("Virtual Ethernet Switch", (*SERVICE, "DesiredEndpointMode", "OperationalEndpointMode"), (TAGGED,)),
    Row("Virtual Ethernet Switch", ("InstanceID", "AccessVLAN"),
        (TAGGED, "CIM_SettingsDefineState ManagedElement CIM_VLANEndpointSettingData")),
    Row("Virtual Ethernet Switch", ENDPOINT, (TAGGED, "CIM_BindsTo Dependent CIM_LANEndpoint")),
    Row("Virtual Ethernet Switch", ("InstanceID", "VLANId"), ("CIM_HostedCollection Antecedent CIM_NetworkVLAN",)),
    Row("Virtual Ethernet Switch", SERVICE,
        ("CIM_HostedCollection Antecedent CIM_NetworkVLAN", "CIM_MemberOfCollection Collection CIM_VLANEndpoint")),
)
# fmt: on
